#pragma once
#include "modes.h"
#include "numeric.h"

namespace stn {

/// One spatial axis of the image, in the constants that coordinates want: made once a call, on the host, so that no
/// location divides. Lengths are in pixels, the centre of the first pixel is 0.
template <typename scalar_t>
struct Axis {
  int64_t size;
  scalar_t last;            // the largest index that scalar_t can name: size - 1
  scalar_t origin;          // from the image's first end to coordinate 0: 1, or 0 of coordinates that are pixels already
  scalar_t scale, shift;    // pixel = (coordinate + origin) * scale - shift; scale is d pixel / d coordinate
  bool has_extent;          // false where size is 1 from centre to centre: every coordinate, NaN too, is pixel 0
  scalar_t mirror, span;    // reflection: where the first mirror is, and how far the second is from it
  scalar_t inverse_period;  // reflection: 1 / (2 * span), 0 where span is 0
  scalar_t inverse_size;    // circular: 1 / size
  PaddingMode padding;      // for RuntimePadding
  bool centre_takes_fill;   // for RuntimePadding: nothing is read where the coordinate itself is outside the pixels' area
  bool ends_read_beyond;    // an end pixel is read by all coordinates beyond it

  static STN_HOST Axis make(int64_t size, CoordinateConvention convention, PaddingMode padding) {
    using Convention = CoordinateConvention;
    const bool centres = convention == Convention::kCentres || convention == Convention::kCentrePixels;
    Axis axis{};
    axis.size = size;
    axis.last = largest_not_above(size - 1);
    const bool in_pixels = convention == Convention::kPixels || convention == Convention::kCentrePixels;
    axis.has_extent = !(centres && size == 1);
    axis.origin = scalar_t(in_pixels ? 0 : 1);
    axis.scale = scalar_t(centres ? size - 1 : size) / 2;
    if (in_pixels) axis.scale = scalar_t(axis.has_extent ? 1 : 0);
    axis.shift = centres || in_pixels ? scalar_t(0) : scalar_t(0.5);
    axis.mirror = centres ? scalar_t(0) : scalar_t(-0.5);
    axis.span = scalar_t(centres ? size - 1 : size);
    axis.inverse_period = axis.span > 0 ? scalar_t(0.5) / axis.span : scalar_t(0);
    axis.inverse_size = scalar_t(1) / scalar_t(size);
    axis.padding = padding;
    return axis;
  }

 private:
  /// Above 2^24 a float may round up to an index past the end, where border would not read the last pixel.
  static STN_HOST scalar_t largest_not_above(int64_t index) {
    const scalar_t rounded = static_cast<scalar_t>(index);
    return static_cast<int64_t>(rounded) > index ? std::nextafter(rounded, scalar_t(0)) : rounded;
  }
};

/// Source coordinate -> pixels. One formula for all conventions (of pixels, adding 0 makes 0 of -0, and the rest does nothing):
/// the CPU asks twice, and a compiler that meets branches computes it twice.
template <typename value_t, typename scalar_t>
STN_HOST_DEVICE value_t unnormalize(value_t coordinate, const Axis<scalar_t>& axis) {
  const value_t pixel = (coordinate + axis.origin) * axis.scale - axis.shift;
  return axis.has_extent ? pixel : broadcast<value_t>(0);  // a branch on the call, not on data
}

/// NOTE [ Non-finite coordinates ]
/// A pixel coordinate that is NaN, infinite or beyond int range (|x| >= 2^31, where a float has no digits left) is outside
/// the image for the paddings that have an outside. For those that have none it is clamped to the nearest edge, NaN to the
/// first pixel, by this function; its derivative (`slope`) is 0. Every test is written so that NaN fails it, and comes
/// before any conversion to an integer.
template <typename value_t, typename scalar_t>
STN_HOST_DEVICE value_t sanitize(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
  const scalar_t int_range = scalar_t(2147483648.0);
  const auto in_range = (x > -int_range) & (x < int_range);
  slope = select(in_range, slope, scalar_t(0));
  return select(in_range, x, select(x > scalar_t(0), broadcast<value_t>(axis.last), scalar_t(0)));
}

}  // namespace stn
