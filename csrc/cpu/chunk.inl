// The taps of a chunk of locations, multiplied out: how kernels read and add, knowing nothing of axes, modes and paddings.
#pragma once
#include <algorithm>
#include <utility>

#include "../core/dispatch.h"
#include "../core/stencil.h"
#include "stored.h"
#include "tile.h"

namespace stn::cpu {
namespace {

/// The most taps that a location has (3-D bicubic), and the most numbers that a tap is weighed by.
constexpr int kMostTaps = 64, kMostSets = 1 + kMaxDims;

/// What is true of all taps of a vector of locations. From kMovable on, the taps 2k and 2k + 1 that are inside are side by
/// side.
enum class Near : uint8_t {
  kNothing,
  kInside,   // the image
  kMovable,  // some are outside; see MovedPair
  kPairs,    // all are inside
  kBox,      // and each is as far from the first one as Chunk::from_first says
};

template <typename scalar_t_, typename offset_t_>
struct alignas(64) Chunk {
  using scalar_t = scalar_t_;
  using offset_t = offset_t_;
  /// Whether offsets are as wide as numbers, so that a vector of the ones goes with a vector of the others.
  static constexpr bool kIsWide = sizeof(offset_t) == sizeof(scalar_t);

  int taps, count, whole;          // of a location; locations; those, filled up to whole vectors
  Near near[kChunk];               // by vector, where offsets are wide
  offset_t from_first[kMostTaps];  // elements from a location's first tap, see Near::kBox
  // Rows begin at cache lines: a vector in two of them takes twice as long.
  alignas(64) scalar_t fill[kMostSets][kChunk];     // what the fill value weighs, if there is one
  alignas(64) offset_t offsets[kMostTaps][kChunk];  // elements from a plane's first one; negative outside the image

  STN_HOST const Row<scalar_t>& weight(int set, int tap) const { return weights_[set * taps + tap]; }
  /// For who knows taps without loading it again after every store.
  STN_HOST Row<scalar_t>& weight(int set, int tap, int taps_) { return weights_[set * taps_ + tap]; }
  STN_HOST const Row<scalar_t>& weight(int set, int tap, int taps_) const { return weights_[set * taps_ + tap]; }

  /// Whether the vector of locations that begins with the i-th has all its taps inside; whether all have.
  STN_HOST bool is_inside(int i) const {
    const int vector = i / kLanes<vector_of<scalar_t>>;
    return kIsWide && near[vector] != Near::kNothing && near[vector] != Near::kMovable;
  }
  STN_HOST bool is_inside() const {
    bool all = true;
    for (int i = 0; i < whole; i += kLanes<vector_of<scalar_t>>) all = all && is_inside(i);
    return all;
  }
  /// The least that is true of a vector, where offsets are wide.
  STN_HOST Near least_near() const {
    Near least = kIsWide ? Near::kBox : Near::kNothing;
    for (int i = 0; i < whole / kLanes<vector_of<scalar_t>>; ++i) least = near[i] < least ? near[i] : least;
    return least;
  }

  /// Where a tap is inside, for a vector of locations.
  STN_HOST auto are_inside(int tap, int i) const {
    using mask_t = typename Vectors<scalar_t>::index_t;
    if constexpr (kIsWide) {
      return load_lanes<mask_t>(&offsets[tap][i]) >= 0;
    } else {
      mask_t inside = {};
      for (int lane = 0; lane < kLanes<vector_of<scalar_t>>; ++lane) inside[lane] = offsets[tap][i + lane] >= 0 ? -1 : 0;
      return inside;
    }
  }

  /// What the channel's fill value adds to a sum of taps, weighed by set 0.
  STN_HOST void add_fill(scalar_t value, scalar_t* sum) const {
    using value_t = vector_of<scalar_t>;
    for (int i = 0; i < whole; i += kLanes<value_t>) {
      const auto weight = load_lanes<value_t>(&fill[0][i]);
      store_lanes(&sum[i], load_lanes<value_t>(&sum[i]) + select(weight != 0, weight * value, scalar_t(0)));
    }
  }

 private:
  scalar_t weights_[kMostSets * kMostTaps][kChunk];
};

/// What two taps have, or two pixels side by side.
template <typename value_t>
struct Pair {
  value_t first, second;
};

/// The taps 2k and 2k + 1 of a vector of locations as two pixels side by side, both inside the image: where one tap is outside,
/// it is beside an end of a row, and the pair moves by one into the row; where both are, it moves to the image's first pixels.
/// What is read of pixels without a tap is dropped, and 0 is added to them. See Near::kMovable.
template <typename index_t>
struct MovedPair {
  const index_t first_is_out, second_is_out;  // of the taps
  const index_t offset;                       // of the first pixel

  STN_HOST MovedPair(index_t first, index_t second)
      : first_is_out(first < 0),
        second_is_out(second < 0),
        offset(select(first_is_out, second & ~second_is_out, first + second_is_out)) {}

  /// What the taps have of the pixels: 0 outside.
  template <typename value_t>
  STN_HOST Pair<value_t> of_taps(Pair<value_t> pixels) const {
    return {select(first_is_out, scalar_of<value_t>(0), select(second_is_out, pixels.second, pixels.first)),
            select(second_is_out, scalar_of<value_t>(0), select(first_is_out, pixels.first, pixels.second))};
  }
  /// What the pixels get of the taps: 0 where there is none.
  template <typename value_t>
  STN_HOST Pair<value_t> of_pixels(Pair<value_t> taps) const {
    return {select(second_is_out, scalar_of<value_t>(0), select(first_is_out, taps.second, taps.first)),
            select(first_is_out, scalar_of<value_t>(0), select(second_is_out, taps.first, taps.second))};
  }
};

/// Calls body(std::integral_constant<int, taps>), of 0 for those that no kernel is unrolled for.
template <typename Body>
STN_HOST void with_taps(int taps, Body&& body) {
  if (taps == 1) {  // nearest
    body(std::integral_constant<int, 1>{});
  } else if (taps == 4) {  // bilinear, 2-D
    body(std::integral_constant<int, 4>{});
  } else if (taps == 8) {  // and 3-D
    body(std::integral_constant<int, 8>{});
  } else {
    body(std::integral_constant<int, 0>{});
  }
}

/// body(k) for k in [0, count), unrolled if kCount, which is count then, isn't 0.
template <int kCount, typename Body>
STN_HOST void repeat(int count, Body&& body) {
  if constexpr (kCount > 0) {
    STN_UNROLL
    for (int k = 0; k < kCount; ++k) body(k);
  } else {
    STN_ROLL
    for (int k = 0; k < count; ++k) body(k);
  }
}

/// What is kept where a tap's position on an axis is outside: so far below 0 that the sum over the axes is negative too, for
/// every plane that fits (see fits_32_bits).
template <typename offset_t>
constexpr offset_t kOutside = -(offset_t(1) << (8 * sizeof(offset_t) - 3));

/// Elements to the taps of an axis. kFollow: they are one behind the other.
template <bool kFollow, bool kAllInside, typename offset_t, typename taps_t, int kTaps = std::extent_v<decltype(taps_t::index)>>
STN_HOST auto axis_offsets(const taps_t& taps, offset_t stride) {
  struct {
    decltype(select(taps.inside[0], taps.index[0] * stride, offset_t(0))) at[kTaps];
  } result;
  auto position = taps.index[0] * stride;
  STN_UNROLL
  for (int k = 0; k < kTaps; ++k) {
    if (k > 0) position = kFollow ? position + stride : taps.index[k] * stride;
    result.at[k] = kAllInside ? position : select(taps.inside[k], position, kOutside<offset_t>);
  }
  return result;
}

/// What is made of the locations of a tile: their coordinates, an image's axes and strides, and what taps weigh. Copies, which
/// a chunk's stores can't alias: they stay in registers.
template <typename geometry_t, typename scalar_t, typename offset_t>
struct Located {
  static constexpr int kDims = geometry_t::kDims;
  const TileOf<kDims, scalar_t>& coordinates;
  Axis<scalar_t> axes[kDims];
  offset_t stride[kDims];
  bool fills;
  bool side_by_side;  // pixels of a row, of which there are at least two

  Located(const geometry_t& geometry, const TileOf<kDims, scalar_t>& coordinates, const int64_t* axis_stride, bool fills)
      : coordinates(coordinates), fills(fills) {
    for (int e = 0; e < kDims; ++e) {
      axes[e] = geometry.axes[e];
      stride[e] = static_cast<offset_t>(axis_stride[e]);
    }
    side_by_side = stride[0] == 1 && axes[0].size > 1;
  }

  template <typename value_t>
  STN_HOST void load(int i, value_t (&coordinate)[kDims]) const {
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) coordinate[e] = load_lanes<value_t>(&coordinates[e][i]);
  }

  /// Elements from a location's first tap to another, where padding moves neither.
  template <InterpolationMode kMode>
  STN_HOST offset_t from_first(int tap) const {
    offset_t sum = 0;
    for (int e = 0; e < kDims; ++e, tap /= Interpolation<kMode>::kTaps) sum += tap % Interpolation<kMode>::kTaps * stride[e];
    return sum;
  }

  /// Whether the locations of a vector have all their taps inside the image, where the padding is Inside.
  template <InterpolationMode kMode, typename Inside, typename value_t>
  STN_HOST bool are_inside(const value_t (&coordinate)[kDims]) const {
    auto inside = has_all_taps_inside<kMode, Inside>(coordinate[0], axes[0]);
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) inside = inside & has_all_taps_inside<kMode, Inside>(coordinate[e], axes[e]);
    return !any_bit(inside == 0);
  }
};

/// Makes the chunk's i-th locations those at `coordinate`, which are the tile's from `location` on: as many as Lanes has.
template <typename Pad, InterpolationMode kMode, typename Lanes, typename located_t, typename Weights, typename chunk_t>
STN_HOST void take_locations(const located_t& located, const typename Lanes::value_t (&coordinate)[located_t::kDims], int i,
                             int location, const Weights& weigh, chunk_t& chunk) {
  constexpr int kDims = located_t::kDims;
  using value_t = typename Lanes::value_t;
  using index_t = typename Lanes::index_t;
  using stencil_t = Stencil<kDims, kMode, Pad, Weights::kOrder, value_t, index_t>;
  constexpr int kTaps = stencil_t::kTaps, kUnrolled = kTaps <= 8 ? kTaps : 0;
  constexpr bool kFollow = Pad::kTapsFollow && Interpolation<kMode>::kPadsCoordinate;
  const stencil_t stencil(coordinate, located.axes);
  decltype(axis_offsets<kFollow, Pad::kAllInside>(stencil.axis[0], located.stride[0])) offsets[kDims];
  STN_UNROLL
  for (int e = 0; e < kDims; ++e) offsets[e] = axis_offsets<kFollow, Pad::kAllInside>(stencil.axis[e], located.stride[e]);
  index_t signs = {}, apart = {}, before = {};  // whether taps are outside; whether pairs of taps inside are apart
  repeat<kUnrolled>(kTaps, [&](int tap) __attribute__((always_inline)) {
    index_t offset = offsets[0].at[stencil_t::digit(tap, 0)];
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) offset += offsets[e].at[stencil_t::digit(tap, e)];
    store_lanes(&chunk.offsets[tap][i], offset);
    if (!Pad::kAllInside) signs |= offset;
    if (!kFollow) {
      if (tap % 2 == 1) apart |= (offset ^ (before + 1)) & ((offset | before) >= 0);
      before = offset;
    }
    STN_UNROLL
    for (int set = 0; set < Weights::kSets; ++set) {
      store_lanes(&chunk.weight(set, tap, kTaps)[i], weigh(stencil, tap, set, location));
    }
  });
  if constexpr (chunk_t::kIsWide) {
    const bool pairs = kTaps > 1 && (kFollow ? located.stride[0] == 1 : !any_bit(apart));
    Near near = !pairs ? Near::kInside : Pad::kAllInside ? Near::kBox : Near::kPairs;
    if (!Pad::kAllInside && any_bit(signs < 0)) near = pairs && located.side_by_side ? Near::kMovable : Near::kNothing;
    chunk.near[i / kLanes<value_t>] = near;
  }
  if constexpr (Pad::kMayFill) {
    if (!located.fills) return;
    STN_UNROLL
    for (int set = 0; set < Weights::kSets; ++set) {
      store_lanes(&chunk.fill[set][i], weigh(stencil, FillTap{}, set, location));
    }
  }
}

/// Makes the chunk that of the locations [first, first + count) of a tile: core's arithmetic, as many locations at a time as
/// Lanes has. weigh(stencil, tap, set, location of the tile) are a tap's numbers. Offsets are those of a plane with these
/// strides. The coordinate arithmetic is paid once a location and not once a channel, and most of it not at all inside.
template <typename Pad, InterpolationMode kMode, typename Lanes, typename geometry_t, typename Weights, typename chunk_t>
void take_chunk(const geometry_t& geometry, const int64_t* axis_stride,
                const TileOf<geometry_t::kDims, typename chunk_t::scalar_t>& coordinates, int first, int count,
                const Weights& weigh, bool fills, chunk_t& chunk) {
  using scalar_t = typename chunk_t::scalar_t;
  using value_t = typename Lanes::value_t;
  constexpr int n = kLanes<value_t>, kWhole = kLanes<vector_of<scalar_t>>;
  constexpr int kTaps = power(Interpolation<kMode>::kTaps, geometry_t::kDims);
  const Located<geometry_t, scalar_t, typename chunk_t::offset_t> located(geometry, coordinates, axis_stride, fills);
  chunk.taps = kTaps;
  chunk.count = count;
  chunk.whole = (count + kWhole - 1) / kWhole * kWhole;
  for (int tap = 0; tap < kTaps; ++tap) chunk.from_first[tap] = located.template from_first<kMode>(tap);
  using Inside = typename Pad::Inside;  // where all taps are inside, if it stands for Pad here
  constexpr bool kMayStand = std::is_same<Inside, NoPadding>::value || Interpolation<kMode>::kPadsCoordinate;
  bool stands = true;
  if constexpr (std::is_same<Pad, RuntimePadding>::value) {
    for (const auto& axis : located.axes) stands = stands && leaves_inside(axis.padding);
  }
  const int whole = chunk.whole;  // a copy, which stores can't change
  for (int i = 0; i < whole; i += n) {
    value_t coordinate[geometry_t::kDims];
    located.load(first + i, coordinate);
    if constexpr (kMayStand && Lanes::kAreMany && kTaps <= 8) {
      if (stands && located.template are_inside<kMode, Inside>(coordinate)) {
        take_locations<Inside, kMode, Lanes>(located, coordinate, i, first + i, weigh, chunk);
        for (int set = 0; Pad::kMayFill && fills && set < Weights::kSets; ++set) store_lanes(&chunk.fill[set][i], value_t{});
        continue;
      }
    }
    take_locations<Pad, kMode, Lanes>(located, coordinate, i, first + i, weigh, chunk);
  }
}

/// From the least index of an axis at which `count` locations may have taps to the largest, by core's arithmetic. The
/// coordinates that fill up the last vector may widen that.
template <InterpolationMode kMode, typename Lanes, typename scalar_t>
std::pair<int64_t, int64_t> tap_indices(const Axis<scalar_t>& axis, const scalar_t* coordinates, int count) {
  using value_t = typename Lanes::value_t;
  using index_t = typename Lanes::index_t;
  const auto last = static_cast<element_of<index_t>>(axis.size - 1);
  index_t least = index_t{} + last, largest = {};
  for (int i = 0; i < count; i += kLanes<value_t>) {
    const auto taps = axis_taps<kMode, RuntimePadding, 0, index_t>(load_lanes<value_t>(&coordinates[i]), axis);
    STN_UNROLL
    for (const index_t index : taps.index) {
      least = select(index < least, index, least);
      largest = select(index > largest, index, largest);
    }
  }
  alignas(64) typename Lanes::offset_t leasts[kLanes<value_t>], largests[kLanes<value_t>];
  store_lanes(leasts, least);
  store_lanes(largests, largest);
  const auto first = *std::min_element(std::begin(leasts), std::end(leasts));
  return {std::max<int64_t>(0, first), std::min<int64_t>(last, *std::max_element(std::begin(largests), std::end(largests)))};
}

}  // namespace
}  // namespace stn::cpu
