#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "macros.h"

namespace stn {

// NOTE [ Scalars and vectors ]
// Core is written over three kinds of type, and the kind says what an expression may do:
//
//   scalar_t   float or double: constants and sizes, the same for every location
//   value_t    scalar_t, or a GNU vector of them (one lane a location): whatever depends on a location
//   a mask     what comparing two value_ts gives: bool, or a vector of integers that are 0 or -1
//
// Masks combine with &, | and ^ only, and choose through `select`: && and ?: on data would be branches, and ~ is wrong on a
// bool. A scalar_t may stand beside a value_t; literals are written scalar_t(1), since g++ doesn't broadcast an int or a
// double into a vector of floats.

/// What a scalar and a vector of scalars do in different ways; cpu/vector.h adds the vectors. Structs and not overloads:
/// GNU vectors belong to no namespace, so overloads declared after core's templates would never be found.
template <typename value_t>
struct Numeric;

template <>
struct Numeric<float> {
  using scalar_t = float;
  static STN_HOST_DEVICE float floor(float x) { return ::floorf(x); }
  static STN_HOST_DEVICE float round_half_even(float x) { return ::nearbyintf(x); }
};

template <>
struct Numeric<double> {
  using scalar_t = double;
  static STN_HOST_DEVICE double floor(double x) { return ::floor(x); }
  static STN_HOST_DEVICE double round_half_even(double x) { return ::nearbyint(x); }
};

/// a * b + c, on a GPU always in one rounding: kernels that have to agree on a coordinate mustn't leave that to the compiler.
template <typename scalar_t, typename value_t>
STN_HOST_DEVICE value_t multiply_add(scalar_t a, value_t b, value_t c) {
#if defined(__CUDA_ARCH__)
  return ::fma(a, b, c);
#else
  return a * b + c;
#endif
}

template <typename value_t>
using scalar_of = typename Numeric<value_t>::scalar_t;

template <typename value_t>
using mask_of = decltype(value_t{} < value_t{});

template <typename mask_t>
struct Select {
  template <typename a_t, typename b_t>
  static STN_HOST_DEVICE auto apply(mask_t mask, a_t a, b_t b) {
    return mask ? a : b;
  }
};

/// Lane by lane: mask ? a : b. Both are evaluated, neither is a branch.
template <typename mask_t, typename a_t, typename b_t>
STN_HOST_DEVICE auto select(mask_t mask, a_t a, b_t b) {
  return Select<mask_t>::apply(mask, a, b);
}

/// (x - 0 is x for every x and costs nothing; x + 0 is an instruction, because it turns -0 into 0.)
template <typename value_t>
STN_HOST_DEVICE value_t broadcast(scalar_of<value_t> x) {
  return x - value_t{};
}

/// The integer that one lane of an index is.
template <typename index_t>
struct Element {
  using type = index_t;
};
template <typename index_t>
using element_of = typename Element<index_t>::type;

/// Whether an index is one of [0, size).
template <typename index_t>
STN_HOST_DEVICE auto is_index(index_t i, int64_t size) {
  using element_t = element_of<index_t>;
  if constexpr (std::is_arithmetic<index_t>::value) {
    return (i >= element_t(0)) & (i < static_cast<element_t>(size));
  } else {  // one comparison, of integers without a sign
    using unsigned_t = typename Element<index_t>::unsigned_t;
    return (unsigned_t)i <= unsigned_t{} + static_cast<std::make_unsigned_t<element_t>>(size - 1);
  }
}

/// `x` is integral and in range, padding.h has seen to that. A vector has one type of index, integers as wide as its lanes,
/// so that masks of coordinates serve indices as well; a scalar takes any.
template <typename index_t, typename value_t>
STN_HOST_DEVICE index_t to_index(value_t x) {
  if constexpr (std::is_arithmetic<value_t>::value) {
    return static_cast<index_t>(x);
  } else {
    return Numeric<value_t>::to_index(x);
  }
}

}  // namespace stn
