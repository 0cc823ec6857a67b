// The same kernels for AVX2 + FMA. (A target, not flags for this file: CXXFLAGS may name an architecture of their own.)
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,bmi,bmi2")
#define STN_VECTOR_BYTES 32
#include "table.inl"

namespace stn::cpu {
const Kernels kKernelsAvx2 = all_kernels();
}
#endif
