// A tile's coordinates, from whatever source, and what the gradients of a tile's coordinates become.
#pragma once
#include "../core/source.h"
#include "tile.h"

namespace stn::cpu {
namespace {

/// The positions of the locations, see Transform: row by row, so that none is divided for.
template <int kDims, typename scalar_t>
void tile_positions(const Transform<kDims, scalar_t, int64_t>& transform, int64_t location, int count,
                    TileOf<kDims, scalar_t>& position) {
  int64_t index[kDims];
  for (int e = 0; e < kDims; ++e) {
    index[e] = location % transform.size[e];
    location /= transform.size[e];
  }
  for (int i = 0; i < count;) {
    const int run = static_cast<int>(std::min<int64_t>(count - i, transform.size[0] - index[0]));
    const scalar_t first = transform.position_on(0, index[0]);
    for (int k = 0; k < run; ++k) position[0][i + k] = first + static_cast<scalar_t>(k);
    for (int e = 1; e < kDims; ++e) {
      const scalar_t same = transform.position_on(e, index[e]);
      for (int k = 0; k < run; ++k) position[e][i + k] = same;
    }
    i += run;
    index[0] = 0;
    for (int e = 1; e < kDims && ++index[e] == transform.size[e]; ++e) index[e] = 0;
  }
}

/// theta's coordinates, by whole vectors. Not inlined: a compiler may round differently in two places, and grids have to be
/// what fused sampling samples at.
template <typename value_t, int kDims, typename scalar_t>
__attribute__((noinline)) void map_tile(const ThetaMap<kDims, scalar_t>& map, const TileOf<kDims, scalar_t>& position,
                                        int count, TileOf<kDims, scalar_t>& coordinate) {
  for (int i = 0; i < count; i += kLanes<value_t>) {
    value_t from[kDims], to[kDims];
    for (int e = 0; e < kDims; ++e) std::memcpy(&from[e], &position[e][i], sizeof from[e]);
    map.coordinate(from, to);
    for (int e = 0; e < kDims; ++e) std::memcpy(&coordinate[e][i], &to[e], sizeof to[e]);
  }
}

template <int kDims, typename scalar_t>
void transform_coordinates(const Transform<kDims, scalar_t, int64_t>& transform, int64_t n, int64_t location, int count,
                           TileOf<kDims, scalar_t>& coordinate) {
  TileOf<kDims, scalar_t> position = {};
  tile_positions(transform, location, count, position);
  if (!transform.is_flow()) {
    return map_tile<typename WideLanes<scalar_t>::value_t>(transform.map_of(n), position, count, coordinate);
  }
  for (int e = 0; e < kDims; ++e) {
    for (int i = 0; i < count; ++i) coordinate[e][i] = transform.flow_coordinate(n, location + i, e, position[e][i]);
  }
}

template <int kDims, typename scalar_t>
void tile_coordinates(const AnySource<kDims, scalar_t, int64_t>& source, int64_t n, int64_t location, int count,
                      TileOf<kDims, scalar_t>& coordinate) {
  if (source.is_transform) return transform_coordinates(source.own.transform, n, location, count, coordinate);
  grid_coordinates(source.grid, n, location, count, coordinate);
}

/// A unit's sum for theta's gradient of image n. `second`: the derivative along the tangent.
template <int kDims, typename scalar_t>
void sum_theta_gradient(const Transform<kDims, scalar_t, int64_t>& transform, int64_t unit, int64_t n, int64_t location,
                        int count, const scalar_t (&gradient)[kTile][kDims], bool second) {
  TileOf<kDims, scalar_t> position = {};
  tile_positions(transform, location, count, position);
  const auto map = transform.map_of(n);
  const auto tangent = second ? transform.tangent_of(n) : map;
  constexpr int kEntries = Transform<kDims, scalar_t, int64_t>::kEntries;
  double sum[kEntries] = {};
  for (int i = 0; i < count; ++i) {
    scalar_t at[kDims], rows[kDims + 1];
    for (int e = 0; e < kDims; ++e) at[e] = position[e][i];
    if (second) {
      map.second_row_gradients(tangent, at, gradient[i], rows);
    } else {
      map.row_gradients(at, gradient[i], rows);
    }
    transform.add_theta_gradient(rows, at, sum);
  }
  for (int k = 0; k < kEntries; ++k) transform.partial[unit * kEntries + k] = sum[k];
}

/// Takes the gradients of the coordinates of a unit's locations to the source's parameters.
template <int kDims, typename scalar_t>
void take_gradients(const AnySource<kDims, scalar_t, int64_t>& source, int64_t unit, int64_t n, int64_t location, int count,
                    const scalar_t (&gradient)[kTile][kDims]) {
  const auto& transform = source.own.transform;
  if (source.is_transform && !transform.is_flow()) {
    return sum_theta_gradient(transform, unit, n, location, count, gradient, false);
  }
  if (!source.is_transform && source.grid.grad_component_stride == 1 && source.grid.grad_location_stride == kDims) {
    scalar_t* to = source.grid.grad_grid + n * source.grid.grad_batch_stride + location * kDims;
    std::memcpy(to, gradient, static_cast<size_t>(count) * sizeof gradient[0]);
    return;
  }
  for (int i = 0; i < count; ++i) {
    if (source.is_transform) {
      transform.store_grad_flow(n, location + i, gradient[i]);
    } else {
      source.grid.store_gradient(n, location + i, gradient[i]);
    }
  }
}

}  // namespace
}  // namespace stn::cpu
