// The same kernels for AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi,bmi2")
#define STN_VECTOR_BYTES 64
#include "affine_grid_kernels.inl"
#include "fill_kernels.inl"
#include "sample_kernels.inl"
#include "second_kernels.inl"

namespace stn::cpu {
const Kernels kKernelsAvx512{forward,           grad_grid,     grad_input,  grad_grad_output,    second_grad_grid,
                             second_grad_input, fill_gradient, affine_grid, affine_grid_partial, affine_grid_sum};
}
#endif
