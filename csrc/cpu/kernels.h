#pragma once
#include "../core/call.h"

namespace stn::cpu {

/// The kernels of one instruction set. Each does the units [begin, end) of the partition that its comment names (partition.h).
struct Kernels {
  using sample_kernel = void(const SampleCall&, int64_t begin, int64_t end);

  /// What is computed: first derivatives, or what they become along the tangents.
  struct Order {
    sample_kernel* read_planes;            // LocationUnits; writes output, or its tangent grad_grad_output
    sample_kernel* plane_source_gradient;  // LocationUnits of the grid's images; writes the source's gradient
    sample_kernel* plane_input_gradient;   // InputUnits; writes grad_input
    sample_kernel* plane_gradients;        // images; both
    sample_kernel* part_gradients;         // LocationParts; both, or grad_input: after mark_parts, what a part owns
    sample_kernel* rest_of_parts;          // InputUnits; grad_input: what part_gradients has left
    sample_kernel* read_lines;             // LineBlocks, or LocationUnits where lines are in place
    sample_kernel* line_gradients;         // LineGroups; both, whichever are wanted
  };
  Order first, second;
  sample_kernel* tile_ranges;      // LocationParts; writes ranges
  sample_kernel* mark_parts;       // LocationParts; writes marks
  sample_kernel* sum_line_groups;  // LocationUnits; the source's gradient from the parts of LineGroups

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
