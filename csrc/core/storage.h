#pragma once
#include <cstring>

#include "numeric.h"

namespace stn {

// What elements are stored in. 16-bit floats are bit patterns here: every computation with them is done in float, and a result
// is rounded once, to the nearest, ties to even.

struct Half {
  uint16_t bits;  // IEEE: sign, 5 of exponent, 10 of fraction
};

struct BFloat16 {
  uint16_t bits;  // the upper half of a float
};

/// What is computed in.
template <typename storage_t>
struct Accumulate {
  using type = storage_t;
};
template <>
struct Accumulate<Half> {
  using type = float;
};
template <>
struct Accumulate<BFloat16> {
  using type = float;
};
template <typename storage_t>
using accumulate_t = typename Accumulate<std::remove_const_t<storage_t>>::type;

namespace detail {

template <typename to_t, typename from_t>
STN_HOST_DEVICE to_t bit_cast(from_t from) {
  static_assert(sizeof(to_t) == sizeof(from_t), "bits don't change in number");
  to_t to;
  memcpy(&to, &from, sizeof to);
  return to;
}

constexpr uint32_t kFloatInfinity = 0x7f800000u;
constexpr int kFloatFraction = 23, kHalfFraction = 10, kBiases = 127 - 15;  // bits of the fractions; exponents are biased by

/// The upper bits of `bits`, from `dropped` on, rounded by the bits below.
STN_HOST_DEVICE uint32_t round_bits(uint32_t bits, int dropped) {
  const uint32_t half = (1u << (dropped - 1)) - 1, odd = bits >> dropped & 1;
  return (bits + half + odd) >> dropped;  // a carry out of the fraction is the next exponent, or infinity
}

}  // namespace detail

STN_HOST_DEVICE float widen(float x) { return x; }
STN_HOST_DEVICE double widen(double x) { return x; }

STN_HOST_DEVICE float widen(BFloat16 x) { return detail::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

STN_HOST_DEVICE float widen(Half x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
#else
  const uint32_t magnitude = x.bits & 0x7fffu, sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t exponent_shift = static_cast<uint32_t>(magnitude < 0x7c00u ? detail::kBiases : 2 * detail::kBiases);
  const uint32_t normal =  // infinity and NaN, too: 31 becomes 255
      (magnitude << (detail::kFloatFraction - detail::kHalfFraction)) + (exponent_shift << detail::kFloatFraction);
  const uint32_t subnormal = detail::bit_cast<uint32_t>(static_cast<float>(magnitude) * 5.9604644775390625e-8f);  // 2^-24
  return detail::bit_cast<float>(sign | (magnitude < 0x400u ? subnormal : normal));
#endif
}

/// A number in the type it is stored in.
template <typename storage_t>
STN_HOST_DEVICE storage_t narrow(accumulate_t<storage_t> x) {
  if constexpr (std::is_same<storage_t, BFloat16>::value) {
    const uint32_t bits = detail::bit_cast<uint32_t>(x);
    const bool nan = (bits & 0x7fffffffu) > detail::kFloatInfinity;  // rounded, its fraction might become 0
    return {static_cast<uint16_t>(nan ? 0x7fc0u : detail::round_bits(bits, 16))};
  } else if constexpr (std::is_same<storage_t, Half>::value) {
#if defined(__CUDA_ARCH__)
    Half result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
    return result;
#else
    constexpr uint32_t kOverflow = 0x477ff000u, kLeastNormal = 0x38800000u;  // 65520, from where it rounds up; 2^-14
    const uint32_t bits = detail::bit_cast<uint32_t>(x), magnitude = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    uint32_t result;
    if (magnitude > detail::kFloatInfinity) {
      result = 0x7e00u;
    } else if (magnitude >= kOverflow) {
      result = 0x7c00u;
    } else if (magnitude < kLeastNormal) {  // counted in steps of 2^-24
      result = static_cast<uint32_t>(nearbyintf(detail::bit_cast<float>(magnitude) * 16777216.0f));
    } else {
      result = detail::round_bits(magnitude - (detail::kBiases << detail::kFloatFraction),
                                  detail::kFloatFraction - detail::kHalfFraction);
    }
    return {static_cast<uint16_t>(sign | result)};
#endif
  } else {
    return x;
  }
}

}  // namespace stn
