// The backend's functions: the choice of the dtype's kernels, and of what stands for a call that has to be deterministic.
#include <atomic>

#include "cuda.h"
#include "kernels.h"
#include "location_sort.h"
#include "platform.h"

namespace stn::cuda {
namespace {

constexpr int64_t kIndexLimit = INT32_MAX / 2;
std::atomic<int64_t> chosen_limit{kIndexLimit};

const Kernels& kernels_of(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::kHalf:
      return kKernelsHalf;
    case ScalarType::kBFloat16:
      return kKernelsBFloat16;
    case ScalarType::kFloat:
      return kKernelsFloat;
    case ScalarType::kDouble:
      return kKernelsDouble;
  }
  return kKernelsFloat;
}

using Launcher = int (*)(const SampleCall&, void* stream);

SampleCall grad_input_alone(const SampleCall& call) {
  SampleCall only = call;
  only.grad_grid.data = only.grad_grad_output.data = nullptr;
  return only;
}

/// grad_input by sorting, everything else by the kernel that would add to it by atomics.
int in_order(Launcher all, Launcher grad_input, const SampleCall& call, void* stream) {
  SampleCall others = call;
  others.grad_input.data = nullptr;
  const int error = call.wants_source_gradient() || call.grad_grad_output.data ? all(others, stream) : 0;
  return error != 0 || !call.grad_input.data ? error : grad_input(grad_input_alone(call), stream);
}

/// The gradients of a call whose source is a theta, always in a fixed order.
int theta_backward(const Kernels& kernels, const SampleCall& call, void* stream) {
  int error = 0;
  if (call.grad_input.data) error = kernels.gather_grad_input(call, stream);
  if (!call.transform.grad_theta || error != 0) return error;
  SampleCall others = call;
  others.grad_input.data = nullptr;
  error = kernels.backward(others, stream);
  if (error != 0) return error;
  const int64_t blocks = blocks_of_image(call, call.grid_batch);
  return kernels_of(computed_in(call.dtype)).theta_sums(call.transform, call.grid_batch, blocks, stream);
}

/// The bytes of scratch memory that grad_input by sorting wants.
template <typename index_t>
int sort_bytes(const SampleCall& call, int64_t& bytes) {
  int error = 0;
  bytes = LocationSort<index_t>(call, error).bytes();
  return error;
}

}  // namespace

int64_t index_limit() { return chosen_limit.load(std::memory_order_relaxed); }
int64_t use_index_limit(int64_t limit) { return chosen_limit.exchange(limit > 0 ? limit : kIndexLimit); }

int grid_sample(const SampleCall& call, void* stream) { return kernels_of(call.dtype).forward(call, stream); }

int grid_sample_backward(const SampleCall& call, bool deterministic, void* stream) {
  const Kernels& kernels = kernels_of(call.dtype);
  if (call.transform.theta) return theta_backward(kernels, call, stream);
  if (!deterministic) return kernels.backward(call, stream);
  return in_order(kernels.backward, kernels.sorted_grad_input, call, stream);
}

int grid_sample_double_backward(const SampleCall& call, bool deterministic, void* stream) {
  const Kernels& kernels = kernels_of(call.dtype);
  if (!deterministic) return kernels.double_backward(call, stream);
  return in_order(kernels.double_backward, kernels.sorted_second_grad_input, call, stream);
}

int grid_sample_scratch(const SampleCall& call, bool deterministic, int64_t& bytes) {
  bytes = 0;
  if (!deterministic || !call.grad_input.data) return 0;
  const SampleCall only = grad_input_alone(call);
  return largest_sorted_index(only) < index_limit() ? sort_bytes<int32_t>(only, bytes) : sort_bytes<int64_t>(only, bytes);
}

int fill_gradient(const FillGradientCall& call, void* stream) { return kernels_of(call.dtype).fill_gradient(call, stream); }

int transform_grid(const TransformGridCall& call, void* stream) { return kernels_of(call.dtype).transform_grid(call, stream); }

int transform_grid_backward(const TransformGridCall& call, void* stream) {
  const Kernels& kernels = kernels_of(call.dtype);
  const int error = kernels.transform_grid_backward(call, stream);
  if (error != 0 || !call.transform.grad_theta) return error;
  return kernels.theta_sums(call.transform, call.batch, blocks_of_image(call), stream);
}

bool can_transform_backward(const SampleCall& call, bool deterministic) {
  if (!call.grad_input.data) return true;
  if (call.transform.kind == TransformKind::kFlow) return !deterministic;
  bool found = true;  // by the gather
  for (int e = 0; e < call.dims; ++e) found &= readers_of(call.padding[e]) != Readers::kMany;
  return found;
}

int64_t theta_partials(const SampleCall& call) {
  return call.grid_batch * blocks_of_image(call, call.grid_batch) * (call.dims + 1) * (call.dims + 1);
}

int64_t theta_partials(const TransformGridCall& call) {
  return call.batch * blocks_of_image(call) * (call.transform.dims + 1) * (call.transform.dims + 1);
}

const char* error_string(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

}  // namespace stn::cuda
