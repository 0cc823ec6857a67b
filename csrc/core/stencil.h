#pragma once
#include "interpolation.h"
#include "padding.h"

namespace stn {

/// The taps of one axis: tap k is pixel index[k] if inside[k] (one that isn't is not read, whatever its weight: 0 times an
/// infinite pixel would be NaN), and weighs weight[0][k]; weight[d][k] is the d-th derivative of that by the source's
/// coordinate.
template <int kTaps, int kOrder, typename value_t, typename index_t>
struct AxisTaps {
  index_t index[kTaps];
  mask_of<value_t> inside[kTaps];
  value_t weight[kOrder + 1][kTaps];
};

/// `Pad` is a Padding<mode>, or RuntimePadding.
template <InterpolationMode kMode, typename Pad, int kOrder, typename index_t, typename value_t, typename scalar_t>
STN_HOST_DEVICE auto axis_taps(value_t coordinate, const Axis<scalar_t>& axis) {
  using Interpolate = Interpolation<kMode>;
  AxisTaps<Interpolate::kTaps, kOrder, value_t, index_t> taps;
  value_t slope = broadcast<value_t>(axis.scale);  // d pixel / d coordinate
  value_t x = unnormalize(coordinate, axis);
  [[maybe_unused]] const auto centre_inside = (x >= scalar_t(-0.5)) & (x < axis.last + scalar_t(0.5));
  if constexpr (Interpolate::kPadsCoordinate) {
    x = Pad::coordinate(x, axis, slope);
  } else {
    x = Pad::finite(x, axis, slope);
  }
  Interpolate::template weights<kOrder>(x, taps.weight);
  using element_t = element_of<index_t>;
  const value_t first = Interpolate::first(x);
  if constexpr (Interpolate::kPadsCoordinate) {  // counted in integers: above 2^24 a float has no next pixel
    const index_t first_index = to_index<index_t>(first);
    STN_UNROLL
    for (int k = 0; k < Interpolate::kTaps; ++k) taps.index[k] = Pad::index(first_index + element_t(k), axis);
  } else {  // `first` may be beyond the integers, what padding makes of it is not
    STN_UNROLL
    for (int k = 0; k < Interpolate::kTaps; ++k) taps.index[k] = to_index<index_t>(Pad::position(first + scalar_t(k), axis));
  }
  STN_UNROLL
  for (int k = 0; k < Interpolate::kTaps; ++k) {
    if constexpr (Pad::kAllInside) {
      taps.inside[k] = taps.index[k] == taps.index[k];
    } else {
      taps.inside[k] = is_index(taps.index[k], axis.size);
    }
    if constexpr (Pad::kMayFill) {  // a branch on the call, not on data
      if (axis.centre_takes_fill) taps.inside[k] = taps.inside[k] & centre_inside;
    }
    if constexpr (kOrder >= 1) taps.weight[1][k] *= slope;
    if constexpr (kOrder >= 2) taps.weight[2][k] *= slope * slope;
  }
  return taps;
}

/// Tap k alone, by selection: an array that is looked up by a number known at run time only is in a stack frame.
template <int kTaps, int kOrder, typename value_t, typename index_t>
STN_HOST_DEVICE auto only_tap(const AxisTaps<kTaps, kOrder, value_t, index_t>& taps, int k) {
  AxisTaps<1, kOrder, value_t, index_t> one;
  one.index[0] = taps.index[0];
  one.inside[0] = taps.inside[0];
  STN_UNROLL
  for (int d = 0; d <= kOrder; ++d) one.weight[d][0] = taps.weight[d][0];
  STN_UNROLL
  for (int i = 1; i < kTaps; ++i) {
    one.index[0] = i == k ? taps.index[i] : one.index[0];
    one.inside[0] = i == k ? taps.inside[i] : one.inside[0];
    STN_UNROLL
    for (int d = 0; d <= kOrder; ++d) one.weight[d][0] = i == k ? taps.weight[d][i] : one.weight[d][0];
  }
  return one;
}

/// Without a loop: nvcc folds this into constants, a loop inside an unrolled loop it may leave for run time.
STN_HOST_DEVICE constexpr int power(int base, int exponent) {
  return exponent == 0 ? 1 : exponent == 1 ? base : exponent == 2 ? base * base : base * base * base;
}

/// f(tap) for every tap of a stencil, unrolled, but for more than 16 in a loop over runs of them: 64 taps (3-D bicubic)
/// unrolled are half a minute's compilation and more registers than a thread has.
template <int kTaps, typename F>
STN_HOST_DEVICE void for_each_tap(F&& f) {
  constexpr int kRun = kTaps < 16 ? kTaps : 16;
  STN_ROLL
  for (int first = 0; first < kTaps; first += kRun) {
    STN_UNROLL
    for (int k = 0; k < kRun; ++k) f(first + k);
  }
}

/// The product of one factor an axis, factor(axis, order of its derivative), with axis e and axis f each differentiated once
/// (-1: none).
template <int kDims, typename F>
STN_HOST_DEVICE auto product_over_axes(int e, int f, F&& factor) {
  auto result = factor(0, (e == 0) + (f == 0));
  STN_UNROLL
  for (int a = 1; a < kDims; ++a) result = result * factor(a, (e == a) + (f == a));
  return result;
}

/// NOTE [ Fill ]
/// A fill value is one more tap: it weighs what the taps weigh whose place it takes, 1 less the share of the weight that is
/// inside. That share is a product over the axes, exactly 1 where all taps are inside and 0 where none is, so that the image
/// comes out as it is in the one case and the fill value in the other.
struct FillTap {};

/// The share of an axis' weight that is inside the image, or the share's d-th derivative.
template <typename value_t, int kTaps>
STN_HOST_DEVICE value_t inside_share(const mask_of<value_t> (&inside)[kTaps], const value_t (&weight)[kTaps], int d) {
  using scalar_t = scalar_of<value_t>;
  auto all = inside[0];
  value_t sum = select(inside[0], weight[0], scalar_t(0));
  STN_UNROLL
  for (int k = 1; k < kTaps; ++k) {
    all = all & inside[k];
    sum = sum + select(inside[k], weight[k], scalar_t(0));
  }
  return select(all, broadcast<value_t>(scalar_t(d == 0)), sum);
}

/// Where an interpolation has all of its taps inside the image, between its first pixel and its last one, where its padding is
/// Inside.
template <InterpolationMode kMode, typename Inside, typename value_t, typename scalar_t>
STN_HOST_DEVICE mask_of<value_t> has_all_taps_inside(value_t coordinate, const Axis<scalar_t>& axis) {
  constexpr scalar_t kMargin = Interpolation<kMode>::kTaps > 2 ? Interpolation<kMode>::kTaps / 2 - 1 : 0;
  value_t unused{};
  const value_t x = Inside::coordinate(unnormalize(coordinate, axis), axis, unused);
  return (x > kMargin) & (x < axis.last - kMargin);
}

/// The tensor product of the taps of axes, which are in grid order (x, y[, z]); x runs fastest.
/// kOrder = 0: weights only; 1: and their first derivatives; 2: and the second ones.
template <int kDims, int kAxisTaps_, int kOrder, typename value_t, typename index_t>
struct TapProduct {
  static constexpr int kAxisTaps = kAxisTaps_;
  static constexpr int kTaps = power(kAxisTaps, kDims);

  AxisTaps<kAxisTaps, kOrder, value_t, index_t> axis[kDims];

  /// Elements from the image's first one to the tap, for an image with these strides.
  template <typename stride_t>
  STN_HOST_DEVICE index_t offset(int tap, const stride_t (&stride)[kDims]) const {
    index_t sum = axis[0].index[digit(tap, 0)] * stride[0];
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) sum += axis[e].index[digit(tap, e)] * stride[e];
    return sum;
  }

  STN_HOST_DEVICE mask_of<value_t> inside(int tap) const {
    mask_of<value_t> all = axis[0].inside[digit(tap, 0)];
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) all = all & axis[e].inside[digit(tap, e)];
    return all;
  }

  STN_HOST_DEVICE value_t weight(int tap) const { return product(tap, -1, -1); }
  STN_HOST_DEVICE value_t weight(FillTap) const { return scalar_of<value_t>(1) - product(FillTap{}, -1, -1); }

  /// d weight / d coordinate e
  STN_HOST_DEVICE value_t derivative(int tap, int e) const { return product(tap, e, -1); }
  STN_HOST_DEVICE value_t derivative(FillTap, int e) const { return -product(FillTap{}, e, -1); }

  /// d2 weight / d coordinate e d coordinate f
  STN_HOST_DEVICE value_t second_derivative(int tap, int e, int f) const { return product(tap, e, f); }
  STN_HOST_DEVICE value_t second_derivative(FillTap, int e, int f) const { return -product(FillTap{}, e, f); }

  /// That tap alone, for a tap that is known at run time only.
  STN_HOST_DEVICE auto only(int tap) const {
    TapProduct<kDims, 1, kOrder, value_t, index_t> one;
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) one.axis[e] = only_tap(axis[e], digit(tap, e));
    return one;
  }

  /// Which tap of axis e the tap `tap` is made of.
  static STN_HOST_DEVICE constexpr int digit(int tap, int e) { return tap / power(kAxisTaps, e) % kAxisTaps; }

  /// The share of axis e's weight that is inside, or its d-th derivative.
  STN_HOST_DEVICE value_t share(int e, int d) const { return inside_share<value_t>(axis[e].inside, axis[e].weight[d], d); }

 private:
  STN_HOST_DEVICE value_t product(int tap, int e, int f) const {
    return product_over_axes<kDims>(e, f, [&](int a, int d) { return axis[a].weight[d][digit(tap, a)]; });
  }
  STN_HOST_DEVICE value_t product(FillTap, int e, int f) const {
    return product_over_axes<kDims>(e, f, [&](int a, int d) { return share(a, d); });
  }
};

/// All taps of one location.
template <int kDims, InterpolationMode kMode, typename Pad, int kOrder, typename value_t, typename index_t>
struct Stencil : TapProduct<kDims, Interpolation<kMode>::kTaps, kOrder, value_t, index_t> {
  template <typename scalar_t>
  STN_HOST_DEVICE Stencil(const value_t (&coordinate)[kDims], const Axis<scalar_t> (&axes)[kDims]) {
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) this->axis[e] = axis_taps<kMode, Pad, kOrder, index_t>(coordinate[e], axes[e]);
  }
};

}  // namespace stn
