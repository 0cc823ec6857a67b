#pragma once
#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12's own AVX-512 header, where its functions are inlined
#include <immintrin.h>
#endif

#include <cstring>

#include "../core/numeric.h"

// GNU vectors as core's value_t. STN_VECTOR_BYTES is the machine's own width (16, 32 or 64), set by the file that stands for
// one instruction set: vectors wider than the machine's are lowered badly. 16 unless set: every machine's.
#if !defined(STN_VECTOR_BYTES)
#define STN_VECTOR_BYTES 16
#endif

namespace stn {

typedef float FloatVector __attribute__((vector_size(STN_VECTOR_BYTES)));
typedef int32_t Int32Vector __attribute__((vector_size(STN_VECTOR_BYTES)));
typedef double DoubleVector __attribute__((vector_size(STN_VECTOR_BYTES)));
typedef int64_t Int64Vector __attribute__((vector_size(STN_VECTOR_BYTES)));

template <>
struct Element<Int32Vector> {
  using type = int32_t;
  typedef uint32_t unsigned_t __attribute__((vector_size(STN_VECTOR_BYTES)));
};
template <>
struct Element<Int64Vector> {
  using type = int64_t;
  typedef uint64_t unsigned_t __attribute__((vector_size(STN_VECTOR_BYTES)));
};

template <typename value_t>
constexpr int kLanes = sizeof(value_t) / sizeof(scalar_of<value_t>);

/// The vectors of a scalar_t, and of what a pixel's offset is kept in beside them.
template <typename scalar_t>
struct Vectors;
template <>
struct Vectors<float> {
  using value_t = FloatVector;
  using index_t = Int32Vector;
};
template <>
struct Vectors<double> {
  using value_t = DoubleVector;
  using index_t = Int64Vector;
};
template <typename scalar_t>
using vector_of = typename Vectors<scalar_t>::value_t;

/// Rounding without intrinsics, for every architecture; right below int range, which is what padding.h hands on.
template <typename value_t, typename int_t>
struct PortableRounding {
  using element_t = std::remove_reference_t<decltype(value_t{}[0])>;

  static STN_HOST_DEVICE value_t floor(value_t x) {
    const value_t truncated = __builtin_convertvector(__builtin_convertvector(x, int_t), value_t);
    const value_t one = value_t{} + element_t(1);
    return truncated - (truncated > x ? one : value_t{});
  }

  static STN_HOST_DEVICE value_t round_half_even(value_t x) {
    const value_t below = floor(x);
    const value_t fraction = x - below;
    const int_t odd = -(__builtin_convertvector(below, int_t) & 1);
    const int_t up = (fraction > element_t(0.5)) | ((fraction == element_t(0.5)) & odd);
    return up ? below + element_t(1) : below;
  }
};

template <>
struct Numeric<FloatVector> : PortableRounding<FloatVector, Int32Vector> {
  using scalar_t = float;
  static STN_HOST_DEVICE Int32Vector to_index(FloatVector x) { return __builtin_convertvector(x, Int32Vector); }
#if STN_VECTOR_BYTES == 32
  static STN_HOST_DEVICE FloatVector floor(FloatVector x) { return (FloatVector)_mm256_floor_ps((__m256)x); }
  static STN_HOST_DEVICE FloatVector round_half_even(FloatVector x) {
    return (FloatVector)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
#elif STN_VECTOR_BYTES == 64
  static STN_HOST_DEVICE FloatVector floor(FloatVector x) { return (FloatVector)_mm512_floor_ps((__m512)x); }
  static STN_HOST_DEVICE FloatVector round_half_even(FloatVector x) {
    return (FloatVector)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
#endif
};

template <>
struct Numeric<DoubleVector> : PortableRounding<DoubleVector, Int64Vector> {
  using scalar_t = double;
  /// No instruction before AVX-512 converts a double to int64, and g++ would go lane by lane. Adding 1.5 * 2^52 leaves the
  /// integer in the low bits of the sum; right below 2^51.
  static STN_HOST_DEVICE Int64Vector to_index(DoubleVector x) {
    const DoubleVector magic = DoubleVector{} + 6755399441055744.0;
    return (Int64Vector)(x + magic) - (Int64Vector)magic;
  }
#if STN_VECTOR_BYTES == 32
  static STN_HOST_DEVICE DoubleVector floor(DoubleVector x) { return (DoubleVector)_mm256_floor_pd((__m256d)x); }
  static STN_HOST_DEVICE DoubleVector round_half_even(DoubleVector x) {
    return (DoubleVector)_mm256_round_pd((__m256d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
#elif STN_VECTOR_BYTES == 64
  static STN_HOST_DEVICE DoubleVector floor(DoubleVector x) { return (DoubleVector)_mm512_floor_pd((__m512d)x); }
  static STN_HOST_DEVICE DoubleVector round_half_even(DoubleVector x) {
    return (DoubleVector)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
#endif
};

/// For a mask that `&` made, g++ compiles `mask ? a : b` to a comparison with 0 and a blend; this is the blend alone.
template <typename mask_t>
struct SelectLanes {
  template <typename a_t, typename b_t>
  static STN_HOST_DEVICE auto apply(mask_t mask, a_t a, b_t b) {
    using result_t = decltype(mask ? a : b);
    const result_t a_lanes = a - result_t{}, b_lanes = b - result_t{};
#if STN_VECTOR_BYTES == 32
    return (result_t)_mm256_blendv_ps((__m256)b_lanes, (__m256)a_lanes, (__m256)mask);
#else
    return (result_t)(((mask_t)a_lanes & mask) | ((mask_t)b_lanes & ~mask));
#endif
  }
};
template <>
struct Select<Int32Vector> : SelectLanes<Int32Vector> {};
template <>
struct Select<Int64Vector> : SelectLanes<Int64Vector> {};

// How a tile is prepared: value_t and index_t are core's, offset_t is what the tile keeps an offset in.

/// A vector of locations at a time. Index lanes are as wide as value lanes, so a float plane has to fit 32-bit offsets.
template <typename scalar_t>
struct WideLanes;
template <>
struct WideLanes<float> {
  static constexpr bool kAreMany = true;
  using value_t = vector_of<float>;
  using index_t = Vectors<float>::index_t;
  using offset_t = int32_t;
};
template <>
struct WideLanes<double> {
  static constexpr bool kAreMany = true;
  using value_t = vector_of<double>;
  using index_t = Vectors<double>::index_t;
  using offset_t = int64_t;
};

/// One location at a time, planes of any extent.
template <typename scalar_t>
struct SingleLane {
  static constexpr bool kAreMany = false;
  using value_t = scalar_t;
  using index_t = int64_t;
  using offset_t = int64_t;
};

template <typename value_t, typename element_t>
STN_HOST_DEVICE void store_lanes(element_t* to, value_t value) {
  static_assert(sizeof(value_t) % sizeof(element_t) == 0, "lanes and elements differ in width");
  std::memcpy(to, &value, sizeof value);
}

/// store_lanes past the caches; `to` is aligned to whole vectors. Others may read it after stream_fence().
template <typename value_t, typename element_t>
STN_HOST void stream_lanes(element_t* to, value_t value) {
  static_assert(sizeof(value_t) == STN_VECTOR_BYTES, "not a vector of the machine");
#if STN_VECTOR_BYTES == 32
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)value);
#elif STN_VECTOR_BYTES == 64
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)value);
#elif defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)value);
#else
  store_lanes(to, value);
#endif
}

STN_HOST void stream_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <typename value_t, typename element_t>
STN_HOST value_t load_lanes(const element_t* from) {
  static_assert(sizeof(value_t) % sizeof(element_t) == 0, "lanes and elements differ in width");
  value_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

/// Whether any bit of integers is set.
template <typename index_t>
STN_HOST bool any_bit(index_t x) {
#if STN_VECTOR_BYTES == 32
  return !_mm256_testz_si256((__m256i)x, (__m256i)x);
#elif STN_VECTOR_BYTES == 64
  return _mm512_test_epi64_mask((__m512i)x, (__m512i)x) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)(x == index_t{})) != 0xffff;
#else
  const auto words = (Int64Vector)x;
  return (words[0] | words[1]) != 0;
#endif
}

}  // namespace stn
