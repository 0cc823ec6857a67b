#pragma once
#include "modes.h"
#include "numeric.h"

namespace stn {

// One struct a mode: how many taps an axis has, where the first one lies, and what the taps weigh.
//
//   kTaps                taps an axis
//   kDifferentiable      whether the result varies with the coordinate; if not, its gradient is 0 whatever the pixels are
//   first(x)             position of the first tap
//   weights<kOrder>(x)   weight[d][k]: the d-th derivative of tap k's weight by x, for d = 0 .. kOrder

template <InterpolationMode>
struct Interpolation;

/// Ties go to the even pixel, as in torch. (The paper's integer kernel rounds them up: floor(x + 1/2).)
template <>
struct Interpolation<InterpolationMode::kNearest> {
  static constexpr int kTaps = 1;
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

}  // namespace stn
