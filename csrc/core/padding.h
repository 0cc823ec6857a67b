#pragma once
#include <cstddef>
#include <utility>

#include "coordinates.h"

namespace stn {

// What a tap outside the image reads, one struct a mode.
//
//   zeros        0 0 0 | a b c d | 0 0 0
//   border       a a a | a b c d | d d d
//   reflection   c b a | a b c d | d c b      about the edges of the end pixels (about their centres under kCentres)
//   circular     b c d | a b c d | a b c
//
// A mode has four members, the first three on positions in pixels that are still floating point:
//
//   coordinate(x, axis, slope)   any x, NaN and infinities too -> where it reads; `slope` is multiplied by d(result)/dx
//   finite(x, axis, slope)       the same for interpolations that pad each tap: x itself, if only it can be computed with
//   position(p, axis)            for those: where the tap at p reads
//   index(i, axis)               for the others: where the tap reads that was counted on from a padded coordinate's first one
//   kFill                        what of a location a fill value takes the place of
//   Inside                       the padding that does the same, to the bit, to a coordinate between the first pixel and the
//                                last one, if that is what the interpolation pads
//   kTapsFollow                  whether index() leaves taps where they are, one behind the other
//
// RuntimePadding has the same members and looks the mode up in the axis: for instantiations that the modes would multiply,
// for axes with paddings of their own, and for fill values (kMayFill).
//
// value_t is a scalar or a vector, see NOTE [ Scalars and vectors ].

template <PaddingMode>
struct Padding;

enum class Fill {
  kNothing,  // the mode has no outside
  kTaps,     // the taps outside
  kCentre,   // all of a location whose coordinate is outside the area of the image's pixels: ITK's rule, pytorch#66366
};

enum class Readers {
  kNear,           // those around it
  kNearAndBeyond,  // and, for an end pixel, all beyond it
  kMany,           // those around any of its images, without a bound
};

/// Clamps to [0, last]. The slope is 0 where clamped and, as in torch, exactly on the edge. NaN goes to 0.
template <typename value_t, typename scalar_t>
STN_HOST_DEVICE value_t clamp_to_image(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
  const auto above_first = x > scalar_t(0);
  const auto below_last = x < axis.last;
  slope = select(above_first & below_last, slope, scalar_t(0));
  x = select(above_first, x, scalar_t(0));
  return select(x < axis.last, x, axis.last);
}

/// What the paddings share that have nothing to do with their counted taps.
struct TapsStay {
  static constexpr bool kAllInside = false, kTapsFollow = true;
  template <typename index_t, typename scalar_t>
  static STN_HOST_DEVICE index_t index(index_t i, const Axis<scalar_t>&) {
    return i;
  }
};

/// For locations whose taps are all inside the image, if nobody wants to know that of them one by one.
struct NoPadding : TapsStay {
  static constexpr bool kMayFill = false;
  static constexpr bool kAllInside = true;

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>&, value_t&) {
    return x;
  }
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t finite(value_t x, const Axis<scalar_t>&, value_t&) {
    return x;
  }
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t position(value_t p, const Axis<scalar_t>&) {
    return p;
  }
};

/// The same, of reflection: the distance from the mirror is rounded.
struct BetweenMirrors : NoPadding {
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t&) {
    return (x - axis.mirror) + axis.mirror;
  }
};

template <>
struct Padding<PaddingMode::kZeros> : TapsStay {
  static constexpr bool kMayFill = false;
  using Inside = NoPadding;
  static constexpr Fill kFill = Fill::kTaps;
  static constexpr Readers kReaders = Readers::kNear;

  /// Whatever is so far out that no tap of any mode is a pixel, NaN included, goes to one such place. It reads nothing
  /// there, so its derivative is 0 without help.
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t&) {
    const auto near = (x > scalar_t(-4)) & (x < axis.last + scalar_t(4));
    return select(near, x, scalar_t(-4));
  }

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t finite(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    return coordinate(x, axis, slope);
  }

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t position(value_t p, const Axis<scalar_t>&) {
    return p;
  }
};

/// What the paddings without an outside share.
template <PaddingMode kPadding>
struct NoOutside : TapsStay {
  static constexpr bool kMayFill = false;

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t finite(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    return sanitize(x, axis, slope);
  }

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t position(value_t p, const Axis<scalar_t>& axis) {
    value_t unused{};
    return Padding<kPadding>::coordinate(p, axis, unused);
  }
};

template <>
struct Padding<PaddingMode::kBorder> : NoOutside<PaddingMode::kBorder> {
  using Inside = NoPadding;
  static constexpr Fill kFill = Fill::kCentre;
  static constexpr Readers kReaders = Readers::kNearAndBeyond;

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    return clamp_to_image(x, axis, slope);
  }
};

template <>
struct Padding<PaddingMode::kReflection> : NoOutside<PaddingMode::kReflection> {
  using Inside = BetweenMirrors;
  static constexpr Fill kFill = Fill::kNothing;
  static constexpr Readers kReaders = Readers::kMany;

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

template <>
struct Padding<PaddingMode::kCircular> : NoOutside<PaddingMode::kCircular> {
  static constexpr bool kTapsFollow = false;
  using Inside = NoPadding;
  static constexpr Fill kFill = Fill::kNothing;
  static constexpr Readers kReaders = Readers::kMany;

  /// The coordinate less whole periods. Rounding may miscount them by one, which the next line mends; a coordinate so large
  /// that what is left still is no pixel has no digits to tell.
  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    const scalar_t size = axis.last + scalar_t(1);
    x = sanitize(x, axis, slope);
    x = x - Numeric<value_t>::floor(x * axis.inverse_size) * size;
    x = select(x < scalar_t(0), x + size, x);
    x = select(x < size, x, x - size);
    return select((x >= scalar_t(0)) & (x < size), x, scalar_t(0));
  }

  /// The tap behind the last pixel is the first one.
  template <typename index_t, typename scalar_t>
  static STN_HOST_DEVICE index_t index(index_t i, const Axis<scalar_t>& axis) {
    const auto size = static_cast<element_of<index_t>>(axis.size);
    return select(i < size, i, i - size);
  }
};

/// The mode that `axis.padding` names: a branch on the call, not on data.
class RuntimePadding {
 public:
  static constexpr bool kMayFill = true;
  static constexpr bool kAllInside = false, kTapsFollow = false;
  using Inside = NoPadding;  // where leaves_inside(axis.padding)

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t coordinate(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    value_t result{};
    with(axis, Modes{}, [&](auto pad) { result = decltype(pad)::coordinate(x, axis, slope); });
    return result;
  }

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t finite(value_t x, const Axis<scalar_t>& axis, value_t& slope) {
    value_t result{};
    with(axis, Modes{}, [&](auto pad) { result = decltype(pad)::finite(x, axis, slope); });
    return result;
  }

  template <typename value_t, typename scalar_t>
  static STN_HOST_DEVICE value_t position(value_t p, const Axis<scalar_t>& axis) {
    value_t result{};
    with(axis, Modes{}, [&](auto pad) { result = decltype(pad)::position(p, axis); });
    return result;
  }

  template <typename index_t, typename scalar_t>
  static STN_HOST_DEVICE index_t index(index_t i, const Axis<scalar_t>& axis) {
    with(axis, Modes{}, [&](auto pad) { i = decltype(pad)::index(i, axis); });
    return i;
  }

 private:
  using Modes = std::make_index_sequence<std::extent_v<decltype(kPaddingModes)>>;

  template <typename scalar_t, std::size_t... kIndex, typename F>
  static STN_HOST_DEVICE void with(const Axis<scalar_t>& axis, std::index_sequence<kIndex...>, F&& f) {
    ((axis.padding == kPaddingModes[kIndex].value ? f(Padding<kPaddingModes[kIndex].value>{}) : void()), ...);
  }
};

namespace detail {

/// f(Padding<mode>{}) of the mode that is known at run time.
template <typename F, std::size_t... kIndex>
STN_HOST void with_padding(PaddingMode mode, std::index_sequence<kIndex...>, F&& f) {
  ((mode == kPaddingModes[kIndex].value ? f(Padding<kPaddingModes[kIndex].value>{}) : void()), ...);
}

}  // namespace detail

template <typename F>
STN_HOST void with_padding(PaddingMode mode, F&& f) {
  detail::with_padding(mode, std::make_index_sequence<std::extent_v<decltype(kPaddingModes)>>{}, f);
}

/// Whether coordinates between the first pixel and the last one are left as they are under this mode.
STN_HOST bool leaves_inside(PaddingMode mode) {
  bool leaves = false;
  with_padding(mode, [&](auto padding) { leaves = std::is_same<typename decltype(padding)::Inside, NoPadding>::value; });
  return leaves;
}

/// What a fill value takes the place of under this mode.
STN_HOST Fill fill_rule(PaddingMode mode) {
  Fill rule = Fill::kNothing;
  with_padding(mode, [&](auto padding) { rule = decltype(padding)::kFill; });
  return rule;
}

/// Which coordinates read a pixel under this mode.
STN_HOST Readers readers_of(PaddingMode mode) {
  Readers readers = Readers::kMany;
  with_padding(mode, [&](auto padding) { readers = decltype(padding)::kReaders; });
  return readers;
}

}  // namespace stn
