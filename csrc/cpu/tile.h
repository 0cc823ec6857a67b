#pragma once
#include "../core/params.h"
#include "partition.h"
#include "vector.h"

namespace stn::cpu {

/// A number an axis for each location of a tile, filled up to whole vectors.
template <int kDims, typename scalar_t>
using TileOf = scalar_t[kDims][kTile];

/// The numbers of `count` locations.
template <int kDims, typename scalar_t>
STN_HOST void load_tile(const scalar_t* from, int64_t location_stride, int64_t component_stride, int count,
                        scalar_t (&to)[kDims][kTile]) {
  if (component_stride == 1 && location_stride == kDims) {  // the same, where strides are constants
    for (int i = 0; i < count; ++i) {
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) to[e][i] = from[i * kDims + e];
    }
    return;
  }
  for (int i = 0; i < count; ++i) {
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) to[e][i] = from[i * location_stride + e * component_stride];
  }
}

/// Coordinates of the locations from `location` on.
template <int kDims, typename scalar_t, typename index_t>
STN_HOST void grid_coordinates(const GridSource<kDims, scalar_t, index_t>& source, int64_t n, int64_t location, int count,
                               scalar_t (&coordinate)[kDims][kTile]) {
  const scalar_t* first = source.grid + n * source.batch_stride + location * source.location_stride;
  load_tile<kDims>(first, source.location_stride, source.component_stride, count, coordinate);
}

}  // namespace stn::cpu
