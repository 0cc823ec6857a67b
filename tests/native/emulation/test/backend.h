#pragma once
// What the fuzzers call: the launchers of csrc/cuda on the emulation, or, with STN_FUZZ_CPU, the kernels of csrc/cpu.
#include "../../../../csrc/core/dispatch.h"
#include "../../checks.h"

#if defined(STN_FUZZ_CPU)
#include <torch/csrc/stable/ops.h>  // serial_torch's

#include "../../../../csrc/cpu/cpu.h"
#else
#include "../../../../csrc/cuda/cuda.h"
#include "emulation.h"
#endif

namespace backend {

#if defined(STN_FUZZ_CPU)

/// grad_input is dense and comes with anything in it.
constexpr bool kIsCuda = false;

/// Something that results may not depend on: instruction set and threads.
inline void set_seed(uint64_t seed) {
  static const int64_t sets = stn::cpu::use_instruction_set(-1);
  stn::cpu::use_instruction_set(int64_t(seed >> 8) % sets);
  torch::stable::threads = 1 + int64_t(seed >> 32) % 8;
}
inline int64_t atomics() { return 0; }
inline int64_t launches() { return torch::stable::calls; }
inline const char* error_string(int) { return "none"; }

template <typename F>
int with_any_indices(Random&, F&& f) {
  return f();
}

template <typename call_t>
int done(void (*function)(const call_t&), const call_t& call) {
  function(call);
  return 0;
}
inline int grid_sample(const stn::SampleCall& call) { return done(stn::cpu::grid_sample, call); }
inline int grid_sample_backward(const stn::SampleCall& call, bool) { return done(stn::cpu::grid_sample_backward, call); }
inline int grid_sample_double_backward(const stn::SampleCall& call, bool) {
  return done(stn::cpu::grid_sample_double_backward, call);
}
inline int64_t grid_sample_scratch(stn::SampleCall& call, bool) { return stn::cpu::grid_sample_scratch(call); }
inline int fill_gradient(const stn::FillGradientCall& call) { return done(stn::cpu::fill_gradient, call); }
inline int transform_grid(const stn::TransformGridCall& call) { return done(stn::cpu::transform_grid, call); }
inline int transform_grid_backward(const stn::TransformGridCall& call) { return done(stn::cpu::transform_grid_backward, call); }
inline bool can_transform_backward(const stn::SampleCall&, bool) { return true; }
using stn::cpu::theta_partials;

#else

constexpr bool kIsCuda = true;

inline void set_seed(uint64_t seed) { emulation::set_seed(seed); }
inline int64_t atomics() { return int64_t(emulation::counters().atomics); }
inline int64_t launches() { return int64_t(emulation::counters().launches); }
using stn::cuda::error_string;

/// Calls f with 32- or 64-bit indices.
template <typename F>
int with_any_indices(Random& random, F&& f) {
  const int64_t before = random.below(4) == 0 ? stn::cuda::use_index_limit(1) : -1;
  const int error = f();
  if (before >= 0) stn::cuda::use_index_limit(before);
  return error;
}

inline int grid_sample(const stn::SampleCall& call) { return stn::cuda::grid_sample(call, nullptr); }
inline int grid_sample_backward(const stn::SampleCall& call, bool deterministic) {
  return stn::cuda::grid_sample_backward(call, deterministic, nullptr);
}
inline int grid_sample_double_backward(const stn::SampleCall& call, bool deterministic) {
  return stn::cuda::grid_sample_double_backward(call, deterministic, nullptr);
}
inline int64_t grid_sample_scratch(stn::SampleCall& call, bool deterministic) {
  int64_t bytes = -1;
  CHECK(stn::cuda::grid_sample_scratch(call, deterministic, bytes) == 0, "the size of scratch memory");
  CHECK((bytes > 0) == (deterministic && call.grad_input.data), "%ld bytes of scratch memory", long(bytes));
  return bytes;
}
inline int fill_gradient(const stn::FillGradientCall& call) { return stn::cuda::fill_gradient(call, nullptr); }
inline int transform_grid(const stn::TransformGridCall& call) { return stn::cuda::transform_grid(call, nullptr); }
inline int transform_grid_backward(const stn::TransformGridCall& call) {
  return stn::cuda::transform_grid_backward(call, nullptr);
}
using stn::cuda::can_transform_backward;
using stn::cuda::theta_partials;

#endif

}  // namespace backend
