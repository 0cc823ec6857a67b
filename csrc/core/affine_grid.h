#pragma once
#include "numeric.h"

namespace stn {

// The grid generator of an affine map, Jaderberg et al. 2015, equation 1: a location's own normalised coordinate, `base`,
// times theta is where it samples.

/// Normalised coordinate of index i on an axis of `size` pixels: of its centre, with -1 and 1 the outer edges of the end
/// pixels or (align_corners) their centres. An axis without extent has the coordinate 0, as in torch.
template <typename scalar_t>
STN_HOST_DEVICE scalar_t base_coordinate(int64_t i, int64_t size, bool align_corners) {
  const int64_t extent = align_corners ? size - 1 : size;
  return extent > 0 ? scalar_t(2 * i - (size - 1)) / scalar_t(extent) : scalar_t(0);
}

/// The base coordinate, with a 1 behind it for theta's translation, of the first location of a row (a run along x). Rows are
/// numbered in the order of locations.
template <int kDims, typename scalar_t>
STN_HOST_DEVICE void base_of_row(int64_t row, const int64_t* size, bool align_corners, scalar_t (&base)[kDims + 1]) {
  base[0] = base_coordinate<scalar_t>(0, size[0], align_corners);
  STN_UNROLL
  for (int e = 1; e < kDims; ++e) {
    base[e] = base_coordinate<scalar_t>(row % size[e], size[e], align_corners);
    row /= size[e];
  }
  base[kDims] = scalar_t(1);
}

/// coordinate = theta . base
template <int kDims, typename scalar_t>
STN_HOST_DEVICE void affine_coordinate(const scalar_t (&theta)[kDims][kDims + 1], const scalar_t (&base)[kDims + 1],
                                       scalar_t (&coordinate)[kDims]) {
  STN_UNROLL
  for (int e = 0; e < kDims; ++e) {
    coordinate[e] = theta[e][0] * base[0];
    STN_UNROLL
    for (int j = 1; j <= kDims; ++j) coordinate[e] += theta[e][j] * base[j];
  }
}

/// The transpose of the above: adds one location's share to the gradient of theta. The sum is a double for every dtype,
/// because it runs over all locations.
template <int kDims, typename scalar_t>
STN_HOST_DEVICE void add_theta_gradient(const scalar_t (&grad_coordinate)[kDims], const scalar_t (&base)[kDims + 1],
                                        double (&sum)[kDims][kDims + 1]) {
  STN_UNROLL
  for (int e = 0; e < kDims; ++e) {
    STN_UNROLL
    for (int j = 0; j <= kDims; ++j) sum[e][j] += double(grad_coordinate[e]) * double(base[j]);
  }
}

}  // namespace stn
