#pragma once
#include "backend.h"
#include "definition.h"
#include "strided.h"

// What the fuzzers of fuzz.cpp draw their calls from.

/// The array whose last element is left out.
inline std::string lacking;

inline Strided array(const char* name, Random& random, stn::ScalarType type, std::vector<int64_t> shape, Role role) {
  return Strided(random, type, std::move(shape), role, lacking == name);
}

/// The CPU's operators make it themselves.
constexpr Role kGradInput = backend::kIsCuda ? Role::kOutput : Role::kDense;

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
