// The kernels for the compiler's own target: the sets of the other files are chosen where the machine has them.
#define STN_VECTOR_BYTES 16
#include "fill_kernels.inl"
#include "sample_kernels.inl"
#include "second_kernels.inl"
#include "transform_grid_kernels.inl"

namespace stn::cpu {
const Kernels kKernelsBaseline{forward,           grad_grid,     grad_input,     grad_grad_output,        second_grad_grid,
                               second_grad_input, fill_gradient, transform_grid, transform_grid_backward, theta_sums};
}
