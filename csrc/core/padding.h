#pragma once
#include "coordinates.h"

namespace stn {

// What a tap outside the image reads, one struct a mode.
//
//   zeros        0 0 0 | a b c d | 0 0 0
//   border       a a a | a b c d | d d d
//   reflection   c b a | a b c d | d c b      about the edges of the end pixels (about their centres under kCentres)
//
// A mode has two members, both on positions in pixels that are still floating point:
//
//   coordinate(x, axis, slope)   any x, NaN and infinities too -> where it reads; `slope` is multiplied by d(result)/dx
//   inside(p, axis)              whether the position p of a tap is a pixel; one that isn't is not read, whatever its
//                                weight (0 times an infinite pixel would be NaN)
//
// value_t is a scalar or a vector, see NOTE [ Scalars and vectors ].

template <PaddingMode>
struct Padding;

/// Clamps to [0, last]. The slope is 0 where clamped and, as in torch, exactly on the edge. NaN goes to 0.
template <typename value_t, typename scalar_t>
STN_HOST_DEVICE value_t clamp_to_image(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
  const auto above_first = x > scalar_t(0);
  const auto below_last = x < axis.last;
  slope = select(above_first & below_last, slope, scalar_t(0));
  x = select(above_first, x, scalar_t(0));
  return select(x < axis.last, x, axis.last);
}

template <>
struct Padding<PaddingMode::kZeros> {
  /// Whatever is so far out that no tap of any mode is a pixel, NaN included, goes to one such place. It reads nothing
  /// there, so its derivative is 0 without help.
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t&) {
    const auto near = (x > scalar_t(-4)) & (x < axis.last + scalar_t(4));
    return select(near, x, scalar_t(-4));
  }

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE mask_of<value_t> inside(value_t p, const Axis<scalar_t>& axis) {
    return (p >= scalar_t(0)) & (p <= axis.last);
  }
};

/// What the paddings without an outside share. The right tap of the last pixel is still one past the end (with weight 0).
struct NoOutside {
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE mask_of<value_t> inside(value_t p, const Axis<scalar_t>& axis) {
    return p <= axis.last;
  }
};

template <>
struct Padding<PaddingMode::kBorder> : NoOutside {
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    return clamp_to_image(x, axis, slope);
  }
};

template <>
struct Padding<PaddingMode::kReflection> : NoOutside {
  /// The distance from the first mirror, less whole periods, folded at the second one. No fmod, which vectors lack: a
  /// period miscounted by rounding moves the result by rounding only, since reflection is continuous. The clamp takes the
  /// half pixel between the mirror and the end pixel's centre, and an axis whose mirrors coincide (size 1 under kCentres).
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    const scalar_t period = 2 * axis.span;
    const value_t from_mirror = sanitize(x, axis, slope) - axis.mirror;
    const auto before = from_mirror < scalar_t(0);
    const value_t distance = select(before, -from_mirror, from_mirror);
    const value_t rest = distance - Numeric<value_t>::floor(distance * axis.inverse_period) * period;
    const auto folded = rest >= axis.span;
    slope = select(before ^ folded, -slope, slope);
    return clamp_to_image(select(folded, period - rest, rest) + axis.mirror, axis, slope);
  }
};

}  // namespace stn
