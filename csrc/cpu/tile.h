#pragma once
#include "../core/params.h"
#include "../core/stencil.h"
#include "partition.h"
#include "vector.h"

namespace stn::cpu {

/// What a tile keeps where a tap's position on an axis is outside: so far below 0 that the sum over the axes is negative
/// too, for every plane that fits (see fits_32_bits).
template <typename offset_t>
constexpr offset_t kOutside = -(offset_t(1) << (8 * sizeof(offset_t) - 3));

/// The stencils of up to kTile locations, factor by factor: of each axis the offsets and the weights of its taps. The
/// coordinate arithmetic is paid once a location and not once a channel, and a channel loop then touches one plane only.
template <int kDims, InterpolationMode kMode, int kOrder, typename scalar_t, typename offset_t>
struct alignas(64) Tile {
  using Taps = Stencil<kDims, kMode, RuntimePadding, kOrder, scalar_t, offset_t>;
  static constexpr int kTaps = Taps::kTaps;

  offset_t axis_offset[kDims][Taps::kAxisTaps][kTile];
  scalar_t factor[kDims][kOrder + 1][Taps::kAxisTaps][kTile];
  scalar_t share[kDims][kOrder + 1][kTile];  // that is inside the image; where there is a fill value

  /// Elements from a plane's first one to the tap; negative if the tap is outside the image.
  STN_HOST offset_t offset(int tap, int i) const {
    offset_t sum = axis_offset[0][Taps::digit(tap, 0)][i];
    STN_UNROLL
    for (int e = 1; e < kDims; ++e) sum += axis_offset[e][Taps::digit(tap, e)][i];
    return sum;
  }
  STN_HOST scalar_t weight(int tap, int i) const { return product(tap, i, -1, -1); }
  STN_HOST scalar_t weight(FillTap, int i) const { return 1 - product(FillTap{}, i, -1, -1); }
  STN_HOST scalar_t derivative(int tap, int e, int i) const { return product(tap, i, e, -1); }
  STN_HOST scalar_t derivative(FillTap, int e, int i) const { return -product(FillTap{}, i, e, -1); }
  STN_HOST scalar_t second_derivative(int tap, int e, int f, int i) const { return product(tap, i, e, f); }
  STN_HOST scalar_t second_derivative(FillTap, int e, int f, int i) const { return -product(FillTap{}, i, e, f); }

  /// Whether any tap of the first `count` locations has an offset in [begin, end).
  STN_HOST bool touches(offset_t begin, offset_t end, int count) const {
    bool any = false;
    for (int tap = 0; tap < kTaps; ++tap) {
      for (int i = 0; i < count; ++i) any |= (offset(tap, i) >= begin) & (offset(tap, i) < end);
    }
    return any;
  }

 private:
  STN_HOST scalar_t product(int tap, int i, int e, int f) const {
    return product_over_axes<kDims>(e, f, [&](int a, int d) { return factor[a][d][Taps::digit(tap, a)][i]; });
  }
  STN_HOST scalar_t product(FillTap, int i, int e, int f) const {
    return product_over_axes<kDims>(e, f, [&](int a, int d) { return share[a][d][i]; });
  }
};

/// Coordinates of the locations from `location` on.
template <int kDims, typename scalar_t, typename index_t>
STN_HOST void grid_coordinates(const GridSource<kDims, scalar_t, index_t>& source, int64_t n, int64_t location, int count,
                               scalar_t (&coordinate)[kDims][kTile]) {
  for (int i = 0; i < count; ++i) {
    scalar_t one[kDims];
    source.coordinate(n, location + i, one);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) coordinate[e][i] = one[e];
  }
}

/// Fills `tile` with the stencils of the first `count` coordinates: core's arithmetic, as many locations at a time as Lanes
/// has, those behind the last one too. Offsets are those of an image with the given strides.
template <typename Pad, typename Lanes, typename params_t, int kDims, InterpolationMode kMode, int kOrder, typename scalar_t,
          typename offset_t>
STN_HOST void prepare(const params_t& params, const int64_t (&axis_stride)[kDims], const scalar_t (&coordinates)[kDims][kTile],
                      int count, Tile<kDims, kMode, kOrder, scalar_t, offset_t>& tile) {
  using value_t = typename Lanes::value_t;
  Axis<scalar_t> axes[kDims];  // copies that the tile's stores can't alias: they stay in registers
  offset_t stride[kDims];
  for (int e = 0; e < kDims; ++e) {
    axes[e] = params.axes[e];
    stride[e] = static_cast<offset_t>(axis_stride[e]);
  }
  for (int i = 0; i < count; i += kLanes<value_t>) {
    value_t coordinate[kDims];
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) std::memcpy(&coordinate[e], &coordinates[e][i], sizeof coordinate[e]);
    const Stencil<kDims, kMode, Pad, kOrder, value_t, typename Lanes::index_t> stencil(coordinate, axes);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      const auto& taps = stencil.axis[e];
      STN_UNROLL
      for (int k = 0; k < stencil.kAxisTaps; ++k) {
        store_lanes(&tile.axis_offset[e][k][i], select(taps.inside[k], taps.index[k] * stride[e], kOutside<offset_t>));
        for (int d = 0; d <= kOrder; ++d) store_lanes(&tile.factor[e][d][k][i], taps.weight[d][k]);
      }
      if constexpr (Pad::kMayFill) {  // a branch on the call
        for (int d = 0; d <= kOrder && params.fill.data; ++d) store_lanes(&tile.share[e][d][i], stencil.share(e, d));
      }
    }
  }
}

}  // namespace stn::cpu
