// The same kernels for AVX2 + FMA. (A target, not flags for this file: CXXFLAGS may name an architecture of their own.)
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,bmi,bmi2")
#define STN_VECTOR_BYTES 32
#include "fill_kernels.inl"
#include "sample_kernels.inl"
#include "second_kernels.inl"
#include "transform_grid_kernels.inl"

namespace stn::cpu {
const Kernels kKernelsAvx2{forward,           grad_grid,     grad_input,     grad_grad_output,        second_grad_grid,
                           second_grad_input, fill_gradient, transform_grid, transform_grid_backward, theta_sums};
}
#endif
