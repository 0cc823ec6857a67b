#pragma once

// What kernels and launchers include instead of a CUDA header: the one place that knows which compiler is at work. nvcc
// compiles for a GPU; any other compiler takes the same text with tests/native/emulation on its include path, and the kernels
// then run on the host. They use CUDA's own names (__global__, threadIdx, __syncthreads, __shfl_down_sync, atomicAdd, ...),
// and these where CUDA's way can't be had twice:
//
//   STN_SHARED(float, tile, [kRows][33]);    an array in shared memory, not initialised; aligned as its type is, no better
//   STN_DYNAMIC_SHARED(float, partial);      pointer to the launch's dynamic shared memory, aligned to 16 bytes
//   load_vector<4>(p), store_vector(p, v)    4 neighbours in one access; p is aligned to all of them together
//
// Every lane that a mask names takes part, at one place in the source: threads without work carry a flag and don't return.

#if defined(__CUDACC__)
#include <cuda_runtime.h>

#define STN_SHARED(type, name, extents) __shared__ type name extents
#define STN_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char stn_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(stn_dynamic_shared)

#else
#if !__has_include("cuda_emulation.h")
#error "csrc/cuda is compiled by nvcc, or for the host with -I tests/native/emulation (see the README there)"
#endif
#include "cuda_emulation.h"

#define STN_SHARED(type, name, extents) EMULATION_SHARED(type, name, extents)
#define STN_DYNAMIC_SHARED(type, name) EMULATION_DYNAMIC_SHARED(type, name)
#endif

namespace stn::cuda {

/// Neighbours that move together: at most 16 bytes, a thread's widest access.
template <typename element_t, int kCount>
struct alignas(kCount * sizeof(element_t)) Vector {
  static_assert(kCount * sizeof(element_t) <= 16);
  element_t values[kCount];
};

#if defined(__CUDACC__)
template <int kCount, typename element_t>
__device__ __forceinline__ Vector<element_t, kCount> load_vector(const element_t* from) {
  return *reinterpret_cast<const Vector<element_t, kCount>*>(from);
}

template <typename element_t, int kCount>
__device__ __forceinline__ void store_vector(element_t* to, const Vector<element_t, kCount>& vector) {
  *reinterpret_cast<Vector<element_t, kCount>*>(to) = vector;
}
#else
template <int kCount, typename element_t>
Vector<element_t, kCount> load_vector(const element_t* from, emulation::Site site = emulation::Site::here()) {
  emulation::check_aligned(from, sizeof(Vector<element_t, kCount>), "load_vector", site);
  Vector<element_t, kCount> vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <typename element_t, int kCount>
void store_vector(element_t* to, const Vector<element_t, kCount>& vector, emulation::Site site = emulation::Site::here()) {
  emulation::check_aligned(to, sizeof vector, "store_vector", site);
  std::memcpy(to, &vector, sizeof vector);
}
#endif

}  // namespace stn::cuda
