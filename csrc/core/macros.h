#pragma once

// Everything in core is inlined into its caller: nvcc wants it for speed, g++ for safety. One CPU source is compiled for
// several instruction sets, and an out-of-line copy (a weak symbol) of the widest could be linked into all of them.

/// For what only the host runs: making parameters, dispatching.
#define STN_HOST inline __attribute__((always_inline))

#if defined(__CUDACC__)
#define STN_HOST_DEVICE __host__ __device__ __forceinline__
#define STN_UNROLL _Pragma("unroll")
#define STN_ROLL _Pragma("unroll 1")
#else
#define STN_HOST_DEVICE STN_HOST
#define STN_UNROLL _Pragma("GCC unroll 64")
#define STN_ROLL _Pragma("GCC unroll 1")
#endif
