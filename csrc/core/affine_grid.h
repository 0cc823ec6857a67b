#pragma once
#include "params.h"

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
template <int kDims, typename index_t, typename scalar_t>
STN_HOST_DEVICE void base_of_row(index_t row, const index_t (&size)[kDims], bool align_corners, scalar_t (&base)[kDims + 1]) {
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

/// An AffineGridCall as the kernels of one instantiation see it. `chunks`: the partial sums that an image's gradient has.
template <int kDims_, typename storage_t_, typename index_t_>
struct AffineGridParams {
  static constexpr int kDims = kDims_, kEntries = kDims * (kDims + 1);
  using storage_t = storage_t_;
  using scalar_t = accumulate_t<storage_t>;
  using index_t = index_t_;

  const scalar_t* theta;
  index_t theta_stride[3];
  Locations<storage_t, index_t> grid;
  index_t size[kDims];
  bool align_corners;
  index_t batch, locations, chunks;
  double* partial;        // [N, chunks, dims, dims + 1]
  storage_t* grad_theta;  // [N, dims, dims + 1]

  STN_HOST AffineGridParams(const AffineGridCall& call, int64_t chunks)
      : theta(static_cast<const scalar_t*>(call.theta)),
        grid(call.grid),
        align_corners(call.align_corners),
        batch(static_cast<index_t>(call.batch)),
        locations(1),
        chunks(static_cast<index_t>(chunks)),
        partial(call.partial),
        grad_theta(static_cast<storage_t*>(call.grad_theta)) {
    for (int i = 0; i < 3; ++i) theta_stride[i] = static_cast<index_t>(call.theta_stride[i]);
    for (int e = 0; e < kDims; ++e) {
      size[e] = static_cast<index_t>(call.size[e]);
      locations *= size[e];
    }
  }

  STN_HOST_DEVICE void load_theta(index_t n, scalar_t (&result)[kDims][kDims + 1]) const {
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      STN_UNROLL
      for (int j = 0; j <= kDims; ++j) result[e][j] = theta[n * theta_stride[0] + e * theta_stride[1] + j * theta_stride[2]];
    }
  }

  STN_HOST_DEVICE void base_of_location(index_t location, scalar_t (&base)[kDims + 1]) const {
    const index_t row = location / size[0];
    base_of_row(row, size, align_corners, base);
    base[0] = base_coordinate<scalar_t>(location - row * size[0], size[0], align_corners);
  }

  /// The sum of an image's partial sums, rounded once.
  STN_HOST_DEVICE void store_grad_theta(index_t n, const double (&sum)[kEntries]) const {
    STN_UNROLL
    for (int i = 0; i < kEntries; ++i) grad_theta[n * kEntries + i] = narrow<storage_t>(static_cast<scalar_t>(sum[i]));
  }
};

}  // namespace stn
