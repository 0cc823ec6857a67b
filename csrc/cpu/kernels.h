#pragma once
#include "../core/call.h"

namespace stn::cpu {

/// The kernels of one instruction set. Each does the units [begin, end) of the partition that its comment names.
struct Kernels {
  void (*forward)(const SampleCall&, int64_t begin, int64_t end);     // LocationUnits; writes output
  void (*grad_grid)(const SampleCall&, int64_t begin, int64_t end);   // LocationUnits; writes grad_grid
  void (*grad_input)(const SampleCall&, int64_t begin, int64_t end);  // InputUnits; adds to grad_input
  // LocationUnits, LocationUnits and InputUnits of the second derivatives: write, write, add to what their name says
  void (*grad_grad_output)(const SampleCall&, int64_t begin, int64_t end);
  void (*second_grad_grid)(const SampleCall&, int64_t begin, int64_t end);
  void (*second_grad_input)(const SampleCall&, int64_t begin, int64_t end);
  void (*fill_gradient)(const FillGradientCall&, int64_t begin, int64_t end);    // fill values; writes grad_fill
  void (*transform_grid)(const TransformGridCall&, int64_t begin, int64_t end);  // LocationUnits; writes grid
  // LocationUnits; writes grad_flow, or a unit's partial sum
  void (*transform_grid_backward)(const TransformGridCall&, int64_t begin, int64_t end);
  void (*theta_sums)(const TransformArrays&, ScalarType, int64_t begin, int64_t end);  // images; writes grad_theta
};

extern const Kernels kKernelsBaseline;
#if defined(__x86_64__)
extern const Kernels kKernelsAvx2, kKernelsAvx512;
#endif

}  // namespace stn::cpu
