// What taps weigh: kSets numbers for each, of derivatives up to kOrder. The argument i is a location of the tile.
#pragma once
#include "tile.h"
#include "vector.h"

namespace stn::cpu {
namespace {

/// Nothing: where taps are, and no more.
struct Nothing {
  static constexpr int kOrder = 0, kSets = 0;
  static constexpr bool kAlongTangent = false;
  template <typename stencil_t, typename tap_t>
  STN_HOST auto operator()(const stencil_t& stencil, tap_t tap, int, int) const {
    return stencil.weight(tap);
  }
};

/// What a tap weighs.
struct Values {
  static constexpr int kOrder = 0, kSets = 1;
  static constexpr bool kAlongTangent = false;
  template <typename stencil_t, typename tap_t>
  STN_HOST auto operator()(const stencil_t& stencil, tap_t tap, int, int) const {
    return stencil.weight(tap);
  }
};

/// The derivative of that by each coordinate.
template <int kDims>
struct Slopes {
  static constexpr int kOrder = 1, kSets = kDims;
  static constexpr bool kAlongTangent = false;
  template <typename stencil_t, typename tap_t>
  STN_HOST auto operator()(const stencil_t& stencil, tap_t tap, int set, int) const {
    return stencil.derivative(tap, set);
  }
};

/// The derivative in the direction of the coordinates' tangent.
template <int kDims, typename scalar_t>
struct Along {
  static constexpr int kOrder = 1, kSets = 1;
  static constexpr bool kAlongTangent = true;
  const TileOf<kDims, scalar_t>& tangent;
  static STN_HOST Along along(const TileOf<kDims, scalar_t>& tangent) { return {tangent}; }
  template <typename stencil_t, typename tap_t>
  STN_HOST auto operator()(const stencil_t& stencil, tap_t tap, int, int i) const {
    using value_t = decltype(stencil.weight(tap));
    value_t sum = load_lanes<value_t>(&tangent[0][i]) * stencil.derivative(tap, 0);
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) sum += load_lanes<value_t>(&tangent[e][i]) * stencil.derivative(tap, e);
    return sum;
  }
};

/// The derivative of that by each coordinate.
template <int kDims, typename scalar_t>
struct Bends {
  static constexpr int kOrder = 2, kSets = kDims;
  static constexpr bool kAlongTangent = true;
  const TileOf<kDims, scalar_t>& tangent;
  static STN_HOST Bends along(const TileOf<kDims, scalar_t>& tangent) { return {tangent}; }
  template <typename stencil_t, typename tap_t>
  STN_HOST auto operator()(const stencil_t& stencil, tap_t tap, int set, int i) const {
    using value_t = decltype(stencil.weight(tap));
    value_t sum = load_lanes<value_t>(&tangent[0][i]) * stencil.second_derivative(tap, set, 0);
    STN_UNROLL
    for (int f = 1; f < kDims; ++f) sum += load_lanes<value_t>(&tangent[f][i]) * stencil.second_derivative(tap, set, f);
    return sum;
  }
};

/// A's sets, then B's.
template <typename A, typename B>
struct Joined {
  static constexpr int kOrder = A::kOrder > B::kOrder ? A::kOrder : B::kOrder, kSets = A::kSets + B::kSets;
  static constexpr bool kAlongTangent = A::kAlongTangent;
  A a;
  B b;
  template <typename tangent_t>
  static STN_HOST Joined along(const tangent_t& tangent) {
    return {A::along(tangent), B::along(tangent)};
  }
  template <typename stencil_t, typename tap_t>
  STN_HOST auto operator()(const stencil_t& stencil, tap_t tap, int set, int i) const {
    return set < A::kSets ? a(stencil, tap, set, i) : b(stencil, tap, set - A::kSets, i);
  }
};

}  // namespace
}  // namespace stn::cpu
