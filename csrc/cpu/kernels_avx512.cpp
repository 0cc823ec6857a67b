// The same kernels for AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi,bmi2")
#define STN_VECTOR_BYTES 64
#include "fill_kernels.inl"
#include "sample_kernels.inl"
#include "second_kernels.inl"
#include "transform_grid_kernels.inl"

namespace stn::cpu {
const Kernels kKernelsAvx512{forward,           grad_grid,     grad_input,     grad_grad_output,        second_grad_grid,
                             second_grad_input, fill_gradient, transform_grid, transform_grid_backward, theta_sums};
}
#endif
