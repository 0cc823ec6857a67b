// The same kernels for AVX-512.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi,bmi2")
#define STN_VECTOR_BYTES 64
#include "table.inl"

namespace stn::cpu {
const Kernels kKernelsAvx512 = all_kernels();
}
#endif
