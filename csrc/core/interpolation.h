#pragma once
#include "modes.h"
#include "numeric.h"

namespace stn {

// One struct a mode: how many taps an axis has, where the first one lies, and what the taps weigh.
//
//   kTaps                taps an axis
//   kRadius              how far from a pixel, in pixels, a coordinate reads it at most
//   kPadsCoordinate      padding moves the coordinate before taps are chosen; else it moves each tap by itself
//   kDifferentiable      whether the result varies with the coordinate; if not, its gradient is 0 whatever the pixels are
//   first(x)             position of the first tap
//   weights<kOrder>(x)   weight[d][k]: the d-th derivative of tap k's weight by x, for d = 0 .. kOrder

template <InterpolationMode>
struct Interpolation;

/// Ties go to the even pixel, as in torch. (The paper's integer kernel rounds them up: floor(x + 1/2).)
template <>
struct Interpolation<InterpolationMode::kNearest> {
  static constexpr int kTaps = 1;
  static constexpr double kRadius = 0.5;
  static constexpr bool kPadsCoordinate = true;
  static constexpr bool kDifferentiable = false;

  template <typename value_t>
  static STN_HOST_DEVICE value_t first(value_t x) {
    return Numeric<value_t>::round_half_even(x);
  }

  template <int kOrder, typename value_t>
  static STN_HOST_DEVICE void weights(value_t, value_t (&weight)[kOrder + 1][kTaps]) {
    weight[0][0] = broadcast<value_t>(1);
    STN_UNROLL
    for (int d = 1; d <= kOrder; ++d) weight[d][0] = broadcast<value_t>(0);
  }
};

/// Jaderberg et al. 2015, equation 5. The derivative belongs to the cell that floor() chooses: U[f + 1] - U[f]. The paper's
/// equation 7 differs where x is an integer, and is no sub-gradient there (a constant image would get a gradient).
template <>
struct Interpolation<InterpolationMode::kBilinear> {
  static constexpr int kTaps = 2;
  static constexpr double kRadius = 1;
  static constexpr bool kPadsCoordinate = true;
  static constexpr bool kDifferentiable = true;

  template <typename value_t>
  static STN_HOST_DEVICE value_t first(value_t x) {
    return Numeric<value_t>::floor(x);
  }

  template <int kOrder, typename value_t>
  static STN_HOST_DEVICE void weights(value_t x, value_t (&weight)[kOrder + 1][kTaps]) {
    const value_t fraction = x - Numeric<value_t>::floor(x);
    weight[0][0] = scalar_of<value_t>(1) - fraction;
    weight[0][1] = fraction;
    if constexpr (kOrder >= 1) {
      weight[1][0] = broadcast<value_t>(-1);
      weight[1][1] = broadcast<value_t>(1);
    }
    if constexpr (kOrder >= 2) weight[2][0] = weight[2][1] = broadcast<value_t>(0);
  }
};

/// Cubic convolution (Keys 1981) with a = -0.75, as torch. NOTE [ Bicubic pads taps ]: the coordinate keeps its fraction out
/// there and each of the taps is padded by itself, so the slope of padding is 1.
template <>
struct Interpolation<InterpolationMode::kBicubic> {
  static constexpr int kTaps = 4;
  static constexpr double kRadius = 2;
  static constexpr bool kPadsCoordinate = false;
  static constexpr bool kDifferentiable = true;

  template <typename value_t>
  static STN_HOST_DEVICE value_t first(value_t x) {
    return Numeric<value_t>::floor(x) - scalar_of<value_t>(1);
  }

  template <int kOrder, typename value_t>
  static STN_HOST_DEVICE void weights(value_t x, value_t (&weight)[kOrder + 1][kTaps]) {
    using scalar_t = scalar_of<value_t>;
    const value_t fraction = x - Numeric<value_t>::floor(x), rest = scalar_t(1) - fraction;
    outer<kOrder>(fraction + scalar_t(1), scalar_t(1), 0, weight);
    inner<kOrder>(fraction, scalar_t(1), 1, weight);
    inner<kOrder>(rest, scalar_t(-1), 2, weight);
    outer<kOrder>(rest + scalar_t(1), scalar_t(-1), 3, weight);
  }

 private:
  static constexpr double kA = -0.75;

  /// Tap k at distance 0 <= r <= 1, where the kernel is (a + 2) r^3 - (a + 3) r^2 + 1. `sign` is dr/dx.
  template <int kOrder, typename value_t>
  static STN_HOST_DEVICE void inner(value_t r, scalar_of<value_t> sign, int k, value_t (&weight)[kOrder + 1][kTaps]) {
    using scalar_t = scalar_of<value_t>;
    const scalar_t cubic = scalar_t(kA + 2), square = scalar_t(kA + 3);
    weight[0][k] = (cubic * r - square) * r * r + scalar_t(1);
    if constexpr (kOrder >= 1) weight[1][k] = (scalar_t(3) * cubic * r - scalar_t(2) * square) * r * sign;
    if constexpr (kOrder >= 2) weight[2][k] = scalar_t(6) * cubic * r - scalar_t(2) * square;
  }

  /// ... at distance 1 <= r <= 2, where it is a r^3 - 5a r^2 + 8a r - 4a.
  template <int kOrder, typename value_t>
  static STN_HOST_DEVICE void outer(value_t r, scalar_of<value_t> sign, int k, value_t (&weight)[kOrder + 1][kTaps]) {
    using scalar_t = scalar_of<value_t>;
    const scalar_t a = scalar_t(kA);
    weight[0][k] = ((a * r - scalar_t(5) * a) * r + scalar_t(8) * a) * r - scalar_t(4) * a;
    if constexpr (kOrder >= 1) weight[1][k] = ((scalar_t(3) * a * r - scalar_t(10) * a) * r + scalar_t(8) * a) * sign;
    if constexpr (kOrder >= 2) weight[2][k] = scalar_t(6) * a * r - scalar_t(10) * a;
  }
};

}  // namespace stn
