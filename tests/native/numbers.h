#pragma once
#include <cstring>

#include "../../csrc/core/storage.h"
#include "checks.h"

// Numbers of every storage type, for tests of what moves and adds them.

namespace stn {

/// The same bits, or both no number.
template <typename value_t>
bool same(value_t a, value_t b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

template <typename storage_t>
constexpr ScalarType kTypeOf = std::is_same_v<storage_t, Half>       ? ScalarType::kHalf
                               : std::is_same_v<storage_t, BFloat16> ? ScalarType::kBFloat16
                               : std::is_same_v<storage_t, float>    ? ScalarType::kFloat
                                                                     : ScalarType::kDouble;

/// Small integers, which every type has and which no two sums of differ in.
template <typename storage_t>
storage_t any_pixel(Random& random) {
  return narrow<storage_t>(static_cast<accumulate_t<storage_t>>(random.below(201) - 100));
}

template <typename scalar_t>
scalar_t any_number(Random& random) {
  return static_cast<scalar_t>(random.uniform() * 2 - 1);
}

}  // namespace stn
