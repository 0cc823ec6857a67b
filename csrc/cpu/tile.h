#pragma once
#include "../core/sample.h"
#include "partition.h"
#include "vector.h"

namespace stn::cpu {

constexpr int kOutside = -1;

/// The stencils of up to kTile locations, an array a tap. The coordinate arithmetic is paid once a location and not once a
/// channel, and a channel loop then touches one plane only. A tap outside the image has the offset kOutside. Of the weights the
/// factors of each axis are kept, [axis][order][tap of the axis]: a weight or a derivative is a product of them.
template <int kDims, InterpolationMode kMode, int kOrder, typename scalar_t, typename offset_t>
struct alignas(64) Tile {
  using Taps = Stencil<kDims, kMode, kPaddingModes[0].value, kOrder, scalar_t, offset_t>;
  static constexpr int kTaps = Taps::kTaps;

  offset_t offset[kTaps][kTile];
  scalar_t factor[kDims][kOrder + 1][Taps::kAxisTaps][kTile];

  STN_HOST scalar_t weight(int tap, int i) const { return product(tap, i, -1); }
  STN_HOST scalar_t derivative(int tap, int e, int i) const { return product(tap, i, e); }

  /// Whether any tap of the first `count` locations has an offset in [begin, end).
  STN_HOST bool touches(offset_t begin, offset_t end, int count) const {
    bool any = false;
    for (int tap = 0; tap < kTaps; ++tap) {
      for (int i = 0; i < count; ++i) any |= (offset[tap][i] >= begin) & (offset[tap][i] < end);
    }
    return any;
  }

 private:
  STN_HOST scalar_t product(int tap, int i, int differentiated) const {
    scalar_t result = factor[0][differentiated == 0][Taps::digit(tap, 0)][i];
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) result *= factor[e][differentiated == e][Taps::digit(tap, e)][i];
    return result;
  }
};

/// Coordinates of the locations from `location` on, one a lane; lanes from `count` on repeat the first one.
template <typename value_t, int kDims, typename source_t>
STN_HOST void load_coordinates(const source_t& source, int64_t n, int64_t location, int count, value_t (&coordinate)[kDims]) {
  scalar_of<value_t> lanes[kDims][kLanes<value_t>];
  for (int i = 0; i < kLanes<value_t>; ++i) {
    scalar_of<value_t> one[kDims];
    source.coordinate(n, location + (i < count ? i : 0), one);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) lanes[e][i] = one[e];
  }
  STN_UNROLL
  for (int e = 0; e < kDims; ++e) std::memcpy(&coordinate[e], lanes[e], sizeof coordinate[e]);
}

/// Fills `tile` with the stencils of `count` locations of image n: core's arithmetic, as many locations at a time as Lanes
/// has. Offsets are those of an image with the given strides.
template <PaddingMode kPadding, typename Lanes, typename params_t, int kDims, InterpolationMode kMode, int kOrder,
          typename scalar_t, typename offset_t>
STN_HOST void prepare(const params_t& params, const int64_t (&axis_stride)[kDims], int64_t n, int64_t location, int count,
                      Tile<kDims, kMode, kOrder, scalar_t, offset_t>& tile) {
  using value_t = typename Lanes::value_t;
  Axis<scalar_t> axes[kDims];  // copies that the tile's stores can't alias: they stay in registers
  offset_t stride[kDims];
  for (int e = 0; e < kDims; ++e) {
    axes[e] = params.axes[e];
    stride[e] = static_cast<offset_t>(axis_stride[e]);
  }
  for (int i = 0; i < count; i += kLanes<value_t>) {
    value_t coordinate[kDims];
    load_coordinates(params.source, n, location + i, count - i, coordinate);
    const Stencil<kDims, kMode, kPadding, kOrder, value_t, typename Lanes::index_t> stencil(coordinate, axes);
    STN_UNROLL
    for (int tap = 0; tap < tile.kTaps; ++tap) {
      store_lanes(&tile.offset[tap][i], select(stencil.inside(tap), stencil.offset(tap, stride), offset_t(kOutside)));
    }
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      for (int d = 0; d <= kOrder; ++d) {
        for (int k = 0; k < stencil.kAxisTaps; ++k) store_lanes(&tile.factor[e][d][k][i], stencil.axis[e].weight[d][k]);
      }
    }
  }
}

}  // namespace stn::cpu
