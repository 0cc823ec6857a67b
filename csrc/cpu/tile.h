#pragma once
#include "../core/params.h"
#include "partition.h"
#include "vector.h"

namespace stn::cpu {

/// A number an axis for each location of a tile, filled up to whole vectors.
template <int kDims, typename scalar_t>
using TileOf = scalar_t[kDims][kTile];

/// Coordinates of the locations from `location` on.
template <int kDims, typename scalar_t, typename index_t>
STN_HOST void grid_coordinates(const GridSource<kDims, scalar_t, index_t>& source, int64_t n, int64_t location, int count,
                               scalar_t (&coordinate)[kDims][kTile]) {
  if (source.component_stride == 1 && source.location_stride == kDims) {  // the same, where strides are constants
    const scalar_t* at = source.grid + n * source.batch_stride + location * kDims;
    for (int i = 0; i < count; ++i) {
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) coordinate[e][i] = at[i * kDims + e];
    }
    return;
  }
  for (int i = 0; i < count; ++i) {
    scalar_t one[kDims];
    source.coordinate(n, location + i, one);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) coordinate[e][i] = one[e];
  }
}

}  // namespace stn::cpu
