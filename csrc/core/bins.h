#pragma once
#include "sample.h"

namespace stn {

/// NOTE [ Bins ]
/// Sorted by bin, the locations that add to one pixel of grad_input at one tap stand side by side, and can be summed in a fixed
/// order by whoever owns the pixel.
///
/// Where padding moves the coordinate, a location's taps all follow from the index of the first one. So that index, on every
/// axis, is its bin: locations of one bin have the same pixel at each of the taps, locations of two bins have two pixels at
/// each of them, and one sort serves all taps. Where padding moves each tap by itself, several cells may be folded onto one
/// pixel; there every tap has a sort of its own, by its own index.
///
/// In short: sort s serves the taps from s * kTapsOfSort on, and a bin is the index of the first of them. It is `kReach` before
/// the image at most, if any of them is inside; locations that have none inside share one bin behind all others.
template <InterpolationMode kMode, int kDims>
struct Bins {
  static constexpr int kAxisTaps = Interpolation<kMode>::kTaps;
  static constexpr int kTaps = power(kAxisTaps, kDims);
  static constexpr int kSorts = Interpolation<kMode>::kPadsCoordinate ? 1 : kTaps;
  static constexpr int kTapsOfSort = kTaps / kSorts;
  static constexpr int kReach = kSorts == 1 ? kAxisTaps - 1 : 0;

  /// The bin of a location of image n in sort `sort`; `bins` is how many there are, and the bin of who reads nothing.
  template <typename bin_t, typename Product, typename scalar_t, typename index_t>
  static STN_HOST_DEVICE bin_t of(const Product& stencil, const Axis<scalar_t> (&axes)[kDims], index_t n, int sort,
                                  bin_t bins) {
    bin_t bin = static_cast<bin_t>(n);
    bool reads = true;
    STN_UNROLL
    for (int e = kDims - 1; e >= 0; --e) {
      const auto taps = served(stencil.axis[e], Product::digit(sort, e));
      bool any = false;
      STN_UNROLL
      for (const bool inside : taps.inside) any = any | inside;
      reads = reads & any;
      bin = bin * static_cast<bin_t>(axes[e].size + kReach) + static_cast<bin_t>(taps.index[0] + kReach);
    }
    return reads ? bin : bins;
  }

 private:
  /// The taps of an axis that a sort serves.
  template <typename Taps>
  static STN_HOST_DEVICE auto served(const Taps& taps, int k) {
    if constexpr (kSorts == 1) {
      return taps;
    } else {
      return only_tap(taps, k);
    }
  }
};

/// What grad_output is multiplied by where a location adds to grad_input at one tap: the tap's weight, or, in the second
/// derivatives, its slope along the tangent of the coordinate.
template <InterpolationMode kMode, typename Pad, bool kSecond, typename params_t>
STN_HOST_DEVICE typename params_t::scalar_t grad_input_factor(const params_t& params,
                                                              const Visit<typename params_t::index_t>& at, int tap) {
  using scalar_t = typename params_t::scalar_t;
  const auto one = stencil_at<kMode, Pad, kSecond ? 1 : 0>(params, at).only(tap);
  if constexpr (kSecond) {
    scalar_t slope = 0;
    STN_UNROLL
    for (int e = 0; e < params_t::kDims; ++e) slope += params.tangent_grid.load(at.n, e, at.location) * one.derivative(0, e);
    return slope;
  } else {
    return one.weight(0);
  }
}

}  // namespace stn
