#pragma once
#include "../../../../csrc/cuda/cuda.h"
#include "definition.h"
#include "strided.h"

// What the fuzzers of fuzz.cpp draw their calls from.

/// The array whose last element is left out.
inline std::string lacking;

inline Strided array(const char* name, Random& random, stn::ScalarType type, std::vector<int64_t> shape, Role role) {
  return Strided(random, type, std::move(shape), role, lacking == name);
}

template <typename list_t>
auto any_of(Random& random, const list_t& list) {
  return list[random.below(std::size(list))].value;
}

// With few_kernels.cu in the place of all kernels there are float32 images of so many axes alone.
#if defined(STN_FEW_KERNELS)
inline int draw_dims(Random&) { return STN_FEW_KERNELS; }
inline stn::ScalarType draw_dtype(Random&) { return stn::ScalarType::kFloat; }
#else
inline int draw_dims(Random& random) { return 1 + int(random.below(stn::kMaxDims)); }
inline stn::ScalarType draw_dtype(Random& random) { return stn::ScalarType(random.below(4)); }
#endif

/// Sizes 1 .. 40 whose product is at most `limit`.
inline void draw_sizes(Random& random, int dims, int64_t limit, int64_t (&size)[stn::kMaxDims]) {
  std::fill(size, size + stn::kMaxDims, 1);
  for (int e = 0; e < dims; ++e) size[e] = random.below(5) == 0 ? 1 : 1 + random.below(40);
  while (size[0] * size[1] * size[2] > limit) {
    int64_t& largest = *std::max_element(size, size + stn::kMaxDims);
    largest = (largest + 1) / 2;
  }
}

/// Calls f with 32- or 64-bit indices.
template <typename F>
int with_any_indices(Random& random, F&& f) {
  const int64_t before = random.below(4) == 0 ? stn::cuda::use_index_limit(1) : -1;
  const int error = f();
  if (before >= 0) stn::cuda::use_index_limit(before);
  return error;
}
