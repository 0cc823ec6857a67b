#pragma once
#include "../cpu/cpu.h"
#include "checks.h"
#if defined(STN_WITH_CUDA) || defined(STN_EMULATED)
#include "../cuda/cuda.h"
#endif

// Which kernels an operator calls, one struct a dispatch key. A backend is made after the arguments are checked and before
// anything is allocated; it lives until the kernels are launched.

namespace stn::ops {

struct CpuBackend {
  static constexpr bool kAddsToGradInput = false;  // zeros are due where the kernels don't write all of it
  explicit CpuBackend(const Tensor&) {}
  void grid_sample(const SampleCall& call) { cpu::grid_sample(call); }
  void grid_sample_backward(const SampleCall& call, bool /*deterministic: always*/) { cpu::grid_sample_backward(call); }
  void grid_sample_double_backward(const SampleCall& call, bool) { cpu::grid_sample_double_backward(call); }
  int64_t grid_sample_scratch(SampleCall& call, bool) { return cpu::grid_sample_scratch(call); }
  void fill_gradient(const FillGradientCall& call) { cpu::fill_gradient(call); }
  void transform_grid(const TransformGridCall& call) { cpu::transform_grid(call); }
  void transform_grid_backward(const TransformGridCall& call) { cpu::transform_grid_backward(call); }
  bool can_transform_backward(const SampleCall&, bool) { return true; }
  template <typename call_t>
  int64_t theta_partials(const call_t& call) {
    return cpu::theta_partials(call);
  }
};

#if defined(STN_WITH_CUDA) || defined(STN_EMULATED)
/// The launchers of csrc/cuda, on a stream.
class CudaLaunchers {
 public:
  static constexpr bool kAddsToGradInput = true;
  explicit CudaLaunchers(void* stream) : stream_(stream) {}
  void grid_sample(const SampleCall& call) { check(cuda::grid_sample(call, stream_)); }
  void grid_sample_backward(const SampleCall& call, bool deterministic) {
    check(cuda::grid_sample_backward(call, deterministic, stream_));
  }
  void grid_sample_double_backward(const SampleCall& call, bool deterministic) {
    check(cuda::grid_sample_double_backward(call, deterministic, stream_));
  }
  int64_t grid_sample_scratch(const SampleCall& call, bool deterministic) {
    int64_t bytes = 0;
    check(cuda::grid_sample_scratch(call, deterministic, bytes));
    return bytes;
  }
  void fill_gradient(const FillGradientCall& call) { check(cuda::fill_gradient(call, stream_)); }
  void transform_grid(const TransformGridCall& call) { check(cuda::transform_grid(call, stream_)); }
  void transform_grid_backward(const TransformGridCall& call) { check(cuda::transform_grid_backward(call, stream_)); }
  bool can_transform_backward(const SampleCall& call, bool deterministic) {
    return cuda::can_transform_backward(call, deterministic);
  }
  template <typename call_t>
  int64_t theta_partials(const call_t& call) {
    return cuda::theta_partials(call);
  }

 private:
  static void check(int error) {
    if (error != 0) throw std::runtime_error(join("stn_cuda: CUDA error ", error, ": ", cuda::error_string(error)));
  }
  void* stream_;
};
#endif

#if defined(STN_WITH_CUDA)
/// torch's current stream of a device. Throws std::runtime_error if this torch doesn't tell.
void* current_stream(int32_t device);

/// The tensors' device made current, and its current stream.
struct CudaBackend : private torch::stable::accelerator::DeviceGuard, public CudaLaunchers {
  explicit CudaBackend(const Tensor& on)
      : DeviceGuard(on.get_device_index()), CudaLaunchers(current_stream(on.get_device_index())) {}
};
#endif

#if defined(STN_EMULATED)
/// The same launchers compiled for the host (tests/native/emulation), for tensors of the CPU.
struct CpuKeyBackend : CudaLaunchers {
  explicit CpuKeyBackend(const Tensor&) : CudaLaunchers(nullptr) {}
};
#else
using CpuKeyBackend = CpuBackend;
#endif

}  // namespace stn::ops

/// Calls register_kernels<Backend>(library) at the dispatch key of every backend that is built.
#if defined(STN_WITH_CUDA)
#define STN_FOR_EACH_BACKEND(register_kernels)                                                  \
  STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CPU, m) { register_kernels<stn::ops::CpuKeyBackend>(m); } \
  STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CUDA, m) { register_kernels<stn::ops::CudaBackend>(m); }
#else
#define STN_FOR_EACH_BACKEND(register_kernels) \
  STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CPU, m) { register_kernels<stn::ops::CpuKeyBackend>(m); }
#endif
