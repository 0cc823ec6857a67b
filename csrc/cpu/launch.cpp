// Chooses the instruction set and shares the units of work out to threads.
#include <atomic>
#include <stdexcept>

#include "cpu.h"
#include "instruction_set.h"
#include "kernels.h"
#include "parallel.h"
#include "partition.h"

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

void grid_sample(const SampleCall& call) {
  parallel_units(LocationUnits(call.locations, call.batch).count, work_of(call),
                 [&](int64_t begin, int64_t end) { kernels().forward(call, begin, end); });
}

void grid_sample_backward(const SampleCall& call) {
  if (call.wants_source_gradient()) {
    parallel_units(LocationUnits(call.locations, call.grid_batch).count, work_of(call),
                   [&](int64_t begin, int64_t end) { kernels().grad_grid(call, begin, end); });
    sum_theta(call.transform, computed_in(call.dtype), call.grid_batch);
  }
  if (call.grad_input.data) {
    parallel_units(InputUnits(call).count, work_of(call),
                   [&](int64_t begin, int64_t end) { kernels().grad_input(call, begin, end); });
  }
}

void grid_sample_double_backward(const SampleCall& call) {
  const int64_t work = 2 * work_of(call);
  if (call.grad_grad_output.data) {
    parallel_units(LocationUnits(call.locations, call.batch).count, work,
                   [&](int64_t begin, int64_t end) { kernels().grad_grad_output(call, begin, end); });
  }
  if (call.grad_grid.data) {
    parallel_units(LocationUnits(call.locations, call.grid_batch).count, work,
                   [&](int64_t begin, int64_t end) { kernels().second_grad_grid(call, begin, end); });
  }
  if (call.grad_input.data) {
    parallel_units(InputUnits(call).count, work,
                   [&](int64_t begin, int64_t end) { kernels().second_grad_input(call, begin, end); });
  }
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
