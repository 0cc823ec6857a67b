// Chooses the instruction set and shares the units of work out to threads.
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "choice.h"
#include "cpu.h"
#include "instruction_set.h"
#include "kernels.h"
#include "parallel.h"

namespace stn::cpu {
namespace {

const Kernels* const kAllKernels[] = {
    &kKernelsBaseline,
#if defined(__x86_64__)
    &kKernelsAvx2,
    &kKernelsAvx512,
#endif
};

std::atomic<const Kernels*> chosen{kAllKernels[best_instruction_set()]};

const Kernels& kernels() { return *chosen.load(std::memory_order_relaxed); }

int64_t work_of(const SampleCall& call) {
  const int64_t taps = call.dims == 2 ? 4 : 8;
  return call.batch * call.locations * (call.channels + 1) * taps;
}

int64_t partials_of(const TransformArrays& transform, int64_t batch) {
  return LocationUnits(transform.locations(), batch).count * (transform.dims + 1) * (transform.dims + 1);
}

/// The second stage of theta's gradient, after its units.
void sum_theta(const TransformArrays& transform, ScalarType dtype, int64_t batch) {
  if (transform.grad_theta) kernels().theta_sums(transform, dtype, 0, batch);
}

}  // namespace

int64_t use_instruction_set(int64_t index) {
  const int best = best_instruction_set();
  if (index < -1 || index > best) throw std::invalid_argument("use_instruction_set(): this machine has no such set");
  chosen = kAllKernels[index == -1 ? best : index];
  return best + 1;
}

namespace {

void read(const Kernels::Order& order, const SampleCall& call, int64_t work) {
  const Applier applier = choose_read(call);
  const bool by_location = applier != Applier::kPackedLines;
  const int64_t units = by_location ? LocationUnits(call.locations, call.batch).count : LineBlocks(call).count;
  const auto kernel = applier == Applier::kPlanes ? order.read_planes : order.read_lines;
  parallel_units(units, work, [&](int64_t begin, int64_t end) { kernel(call, begin, end); });
}

void line_gradients(const Kernels::Order& order, const SampleCall& call, int64_t work) {
  const LineGroups groups = line_groups(call);
  parallel_units(groups.count, work, [&](int64_t begin, int64_t end) { order.line_gradients(call, begin, end); });
  if (!call.wants_source_gradient() || groups.groups == 1) return;
  parallel_units(LocationUnits(call.locations, call.batch).count, call.batch * call.locations * groups.groups * 4,
                 [&](int64_t begin, int64_t end) { kernels().sum_line_groups(call, begin, end); });
}

void clear_grad_input(const SampleCall& call) {
  constexpr int64_t kBlock = 1 << 16;
  const int64_t elements = call.input_batch * call.channels * call.pixels();
  const int64_t bytes = elements * element_size(computed_in(call.dtype));
  parallel_units(ceil_divide(bytes, kBlock), elements, [&](int64_t begin, int64_t end) {
    std::memset(static_cast<char*>(call.grad_input.data) + begin * kBlock, 0,
                static_cast<size_t>(std::min(bytes, end * kBlock) - begin * kBlock));
  });
}

/// Takes what is wanted by parts of locations (parts.h). Returns false, having done nothing, where that is not worth it.
bool gradients_by_parts(const Kernels::Order& order, const SampleCall& call, int64_t work) {
  const LocationParts parts(call);
  if (parts.parts == 1) return false;
  parallel_units(parts.count, work, [&](int64_t begin, int64_t end) { kernels().tile_ranges(call, begin, end); });
  parts.dispute(call);
  parallel_units(parts.count, work, [&](int64_t begin, int64_t end) { kernels().mark_parts(call, begin, end); });
  if (!parts.settle(call)) return false;
  clear_grad_input(call);
  parallel_units(parts.count, work, [&](int64_t begin, int64_t end) { order.part_gradients(call, begin, end); });
  parallel_units(InputUnits(call).count, work, [&](int64_t begin, int64_t end) { order.rest_of_parts(call, begin, end); });
  return true;
}

/// And the output's tangent, if the call has one: see can_read_beside.
void plane_gradients(const Kernels::Order& order, const SampleCall& call, int64_t work) {
  if (can_take_both(call)) {
    if (gradients_by_parts(order, call, 2 * work)) return;
    if (takes_both_by_image(call)) {
      return parallel_units(call.batch, 2 * work, [&](int64_t begin, int64_t end) { order.plane_gradients(call, begin, end); });
    }
  }
  if (call.grad_grad_output.data) read(order, call, work);
  if (call.wants_source_gradient()) {
    parallel_units(LocationUnits(call.locations, call.grid_batch).count, work,
                   [&](int64_t begin, int64_t end) { order.plane_source_gradient(call, begin, end); });
  }
  if (!call.grad_input.data) return;
  const SampleCall rest = call.without_source_gradient();
  if (!can_take_both(call) && gradients_by_parts(order, rest, work)) return;
  parallel_units(InputUnits(rest).count, work,
                 [&](int64_t begin, int64_t end) { order.plane_input_gradient(rest, begin, end); });
}

void gradients(const Kernels::Order& order, SampleCall call, int64_t work) {
  if (call.mode == InterpolationMode::kNearest && call.wants_source_gradient() && call.grad_input.data) {
    SampleCall source = call;  // zeros, which are no reason to take grad_input another way
    source.grad_input = {};
    plane_gradients(order, source, work);
    if (call.transform.grad_theta) sum_theta(call.transform, computed_in(call.dtype), call.grid_batch);
    call = call.without_source_gradient();
  }
  if (choose_gradients(call) == Applier::kPlanes) {
    plane_gradients(order, call, work);
  } else {
    line_gradients(order, call, work);
  }
  if (call.wants_source_gradient()) sum_theta(call.transform, computed_in(call.dtype), call.grid_batch);
}

}  // namespace

void grid_sample(const SampleCall& call) { read(kernels().first, call, work_of(call)); }

int64_t grid_sample_scratch(SampleCall& call) {
  call.threads = torch::stable::get_num_threads();
  return gradients_scratch(call);
}

void grid_sample_backward(const SampleCall& call) { gradients(kernels().first, call, work_of(call)); }

void grid_sample_double_backward(const SampleCall& call) {
  SampleCall rest = call;
  if (!call.tangent_grid.data) {  // it is zeros
    if (call.grad_input.data) clear_grad_input(call);
    rest.grad_input = {};
  }
  if (call.grad_grad_output.data && !can_read_beside(rest)) {
    read(kernels().second, call, 2 * work_of(call));
    rest.grad_grad_output = {};
  }
  if (rest.grad_input.data || rest.wants_source_gradient()) gradients(kernels().second, rest, 2 * work_of(call));
}

void fill_gradient(const FillGradientCall& call) {
  const int64_t units = call.fill_batch * call.channels;
  parallel_units(units, call.batch * call.channels * call.locations,
                 [&](int64_t begin, int64_t end) { kernels().fill_gradient(call, begin, end); });
}

void transform_grid(const TransformGridCall& call) {
  const LocationUnits units(call.transform.locations(), call.batch);
  parallel_units(units.count, call.batch * units.locations * 8,
                 [&](int64_t begin, int64_t end) { kernels().transform_grid(call, begin, end); });
}

int64_t theta_partials(const SampleCall& call) { return partials_of(call.transform, call.grid_batch); }
int64_t theta_partials(const TransformGridCall& call) { return partials_of(call.transform, call.batch); }

void transform_grid_backward(const TransformGridCall& call) {
  const LocationUnits units(call.transform.locations(), call.batch);
  parallel_units(units.count, call.batch * units.locations * 8,
                 [&](int64_t begin, int64_t end) { kernels().transform_grid_backward(call, begin, end); });
  sum_theta(call.transform, call.dtype, call.batch);
}

}  // namespace stn::cpu
