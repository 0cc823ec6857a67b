#pragma once
#include "../../csrc/core/call.h"

/// A transform without its arrays, with the units that core/transform.h has a table of. `in`: the image's size; `centres`: axes
/// go from centre to centre, `pixels`: the result is in pixels, as a sampler wants it, or in normalised coordinates.
inline stn::TransformArrays transform_arrays(stn::TransformKind kind, int dims, const int64_t (&out)[stn::kMaxDims],
                                             const int64_t (&in)[stn::kMaxDims], bool pixels, bool centres) {
  stn::TransformArrays transform;
  transform.kind = kind, transform.dims = dims;
  const auto extent = [&](int64_t size) { return double(centres ? size - 1 : size); };
  for (int e = 0; e < dims; ++e) {
    transform.size[e] = out[e];
    if (kind == stn::TransformKind::kFlow) {
      transform.unit[e][e] = pixels ? 1 : extent(in[e]) > 0 ? 2 / extent(in[e]) : 0;
      transform.centre[e] = pixels ? 0 : double(in[e] - 1) / 2;
      continue;
    }
    const double whole = pixels ? extent(in[e]) : 2;
    for (int j = 0; j < dims; ++j) transform.unit[e][j] = extent(out[j]) > 0 ? whole / extent(out[j]) : 0;
    transform.unit[dims][e] = extent(out[e]) > 0 ? 2 / extent(out[e]) : 0;
    transform.unit[e][dims] = whole / 2;
    transform.centre[e] = pixels ? double(in[e] - 1) / 2 : 0;
  }
  transform.unit[dims][dims] = 1;
  return transform;
}
