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
__attribute__((noinline)) void map_tile(const ThetaMap<kDims, scalar_t>& theta, const TileOf<kDims, scalar_t>& position,
                                        int count, TileOf<kDims, scalar_t>& coordinate) {
  const auto map_all = [&](auto w_row) __attribute__((always_inline)) {
    ThetaMap<kDims, scalar_t> map = theta;  // a copy, which stores can't change
    map.w_row = decltype(w_row)::value;
    for (int i = 0; i < count; i += kLanes<value_t>) {
      value_t from[kDims], to[kDims];
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) from[e] = load_lanes<value_t>(&position[e][i]);
      map.coordinate(from, to);
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) store_lanes(&coordinate[e][i], to[e]);
    }
  };
  if (theta.w_row) {
    map_all(std::true_type{});
  } else {
    map_all(std::false_type{});
  }
}

template <int kDims, typename scalar_t>
void transform_coordinates(const Transform<kDims, scalar_t, int64_t>& transform, int64_t n, int64_t location, int count,
                           TileOf<kDims, scalar_t>& coordinate) {
  constexpr int kLast = kLanes<vector_of<scalar_t>>;
  alignas(64) TileOf<kDims, scalar_t> position;
  for (auto& row : position) store_lanes(&row[(count - 1) / kLast * kLast], vector_of<scalar_t>{});  // what is filled up
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

/// As doubles, a vector or one.
template <typename value_t, typename scalar_t>
STN_HOST value_t load_doubles(const scalar_t* from) {
  if constexpr (std::is_same<value_t, double>::value) {
    return *from;
  } else if constexpr (std::is_same<scalar_t, double>::value) {
    return load_lanes<value_t>(from);
  } else {
    typedef scalar_t narrow_t __attribute__((vector_size(sizeof(value_t) / sizeof(double) * sizeof(scalar_t))));
    return __builtin_convertvector(load_lanes<narrow_t>(from), value_t);
  }
}

/// Transform::add_theta_gradient of the locations [begin, end), as many at a time as value_t has lanes; the rows from kRows on
/// are zeros.
template <typename value_t, int kRows, int kDims, typename scalar_t>
void add_theta_gradients(const scalar_t (*rows)[kTile], const TileOf<kDims, scalar_t>& position, int begin, int end,
                         double (&sum)[(kDims + 1) * (kDims + 1)]) {
  value_t total[kRows][kDims + 1] = {};
  for (int i = begin; i < end; i += kLanes<value_t>) {
    value_t at[kDims];
    STN_UNROLL
    for (int j = 0; j < kDims; ++j) at[j] = load_doubles<value_t>(&position[j][i]);
    STN_UNROLL
    for (int e = 0; e < kRows; ++e) {
      const auto row = load_doubles<value_t>(&rows[e][i]);
      STN_UNROLL
      for (int j = 0; j < kDims; ++j) total[e][j] += row * at[j];
      total[e][kDims] += row;
    }
  }
  for (int k = 0; k < kRows * (kDims + 1); ++k) {
    double lanes[kLanes<value_t>];
    store_lanes(lanes, total[k / (kDims + 1)][k % (kDims + 1)]);
    for (const double lane : lanes) sum[k] += lane;
  }
}

/// A unit's sum for theta's gradient of image n, from that of its coordinates, a row an axis. `second`: the derivative along
/// the tangent.
template <int kDims, typename scalar_t>
void sum_theta_gradient(const Transform<kDims, scalar_t, int64_t>& transform, int64_t unit, int64_t n, int64_t location,
                        int count, const scalar_t (*gradient)[kTile], bool second) {
  constexpr int kEntries = Transform<kDims, scalar_t, int64_t>::kEntries;
  TileOf<kDims, scalar_t> position;
  tile_positions(transform, location, count, position);
  const auto map = transform.map_of(n);
  double sum[kEntries] = {};
  const auto add = [&](auto kind, const scalar_t(*rows)[kTile]) {
    constexpr int kRows = decltype(kind)::value;
    const int whole = count / kLanes<DoubleVector> * kLanes<DoubleVector>;
    add_theta_gradients<DoubleVector, kRows, kDims>(rows, position, 0, whole, sum);
    add_theta_gradients<double, kRows, kDims>(rows, position, whole, count, sum);
  };
  if (!map.w_row && !second) {  // a linear map's rows have the coordinates' gradients
    add(std::integral_constant<int, kDims>{}, gradient);
  } else {
    const auto tangent = second ? transform.tangent_of(n) : map;
    TileOf<kDims + 1, scalar_t> rows;
    for (int i = 0; i < count; ++i) {
      scalar_t at[kDims], each[kDims], row_gradients[kDims + 1];
      for (int e = 0; e < kDims; ++e) at[e] = position[e][i], each[e] = gradient[e][i];
      if (second) {
        map.second_row_gradients(tangent, at, each, row_gradients);
      } else {
        map.row_gradients(at, each, row_gradients);
      }
      for (int e = 0; e <= kDims; ++e) rows[e][i] = row_gradients[e];
    }
    add(std::integral_constant<int, kDims + 1>{}, rows);
  }
  for (int k = 0; k < kEntries; ++k) transform.partial[unit * kEntries + k] = sum[k];
}

/// Takes the gradients of the coordinates of a unit's locations, a row an axis, to the source's parameters.
template <int kDims, typename scalar_t>
void take_gradients(const AnySource<kDims, scalar_t, int64_t>& source, int64_t unit, int64_t n, int64_t location, int count,
                    const scalar_t (*gradient)[kTile]) {
  const auto& transform = source.own.transform;
  if (source.is_transform && !transform.is_flow()) {
    return sum_theta_gradient(transform, unit, n, location, count, gradient, false);
  }
  if (!source.is_transform && source.grid.grad_component_stride == 1 && source.grid.grad_location_stride == kDims) {
    scalar_t* to = source.grid.grad_grid + n * source.grid.grad_batch_stride + location * kDims;
    for (int i = 0; i < count; ++i) {  // the same, where strides are constants
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) to[i * kDims + e] = gradient[e][i];
    }
    return;
  }
  for (int i = 0; i < count; ++i) {
    scalar_t each[kDims];
    for (int e = 0; e < kDims; ++e) each[e] = gradient[e][i];
    if (source.is_transform) {
      transform.store_grad_flow(n, location + i, each);
    } else {
      source.grid.store_gradient(n, location + i, each);
    }
  }
}

}  // namespace
}  // namespace stn::cpu
