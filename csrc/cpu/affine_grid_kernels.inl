// The affine grid's kernels of one instruction set; see sample_kernels.inl.
#include "../core/affine_grid.h"
#include "../core/dispatch.h"
#include "../core/params.h"
#include "kernels.h"
#include "partition.h"

namespace stn::cpu {
namespace {

template <int kDims, typename storage_t>
void affine_grid_rows(const AffineGridCall& call, int64_t begin, int64_t end) {
  using scalar_t = accumulate_t<storage_t>;
  const RowUnits units(call);
  const int64_t width = call.size[0];
  const Locations<storage_t, int64_t> grid(call.grid);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, first_row, last_row] = units.at(unit);
    scalar_t theta[kDims][kDims + 1], base[kDims + 1], coordinate[kDims];
    const scalar_t* from = static_cast<const scalar_t*>(call.theta) + n * call.theta_stride[0];
    for (int e = 0; e < kDims; ++e) {
      for (int j = 0; j <= kDims; ++j) theta[e][j] = from[e * call.theta_stride[1] + j * call.theta_stride[2]];
    }
    for (int64_t row = first_row; row < last_row; ++row) {
      base_of_row<kDims>(row, call.size, call.align_corners, base);
      for (int64_t x = 0; x < width; ++x) {
        base[0] = base_coordinate<scalar_t>(x, width, call.align_corners);
        affine_coordinate(theta, base, coordinate);
        for (int e = 0; e < kDims; ++e) grid.store(n, e, row * width + x, coordinate[e]);
      }
    }
  }
}

template <int kDims, typename storage_t>
void affine_grid_partial_rows(const AffineGridCall& call, double* partial, int64_t begin, int64_t end) {
  using scalar_t = accumulate_t<storage_t>;
  const RowUnits units(call);
  const int64_t width = call.size[0];
  const Locations<storage_t, int64_t> grad_grid(call.grid);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, first_row, last_row] = units.at(unit);
    double sum[kDims][kDims + 1] = {};
    scalar_t base[kDims + 1], grad_coordinate[kDims];
    for (int64_t row = first_row; row < last_row; ++row) {
      base_of_row<kDims>(row, call.size, call.align_corners, base);
      for (int64_t x = 0; x < width; ++x) {
        base[0] = base_coordinate<scalar_t>(x, width, call.align_corners);
        for (int e = 0; e < kDims; ++e) grad_coordinate[e] = grad_grid.load(n, e, row * width + x);
        add_theta_gradient(grad_coordinate, base, sum);
      }
    }
    for (int i = 0; i < kDims * (kDims + 1); ++i)
      partial[unit * kDims * (kDims + 1) + i] = sum[i / (kDims + 1)][i % (kDims + 1)];
  }
}

void affine_grid(const AffineGridCall& call, int64_t begin, int64_t end) {
  dispatch_dims(call.dims, [&](auto dims) {
    dispatch_dtype(call.dtype, [&](auto zero) { affine_grid_rows<decltype(dims)::value, decltype(zero)>(call, begin, end); });
  });
}

void affine_grid_partial(const AffineGridCall& call, double* partial, int64_t begin, int64_t end) {
  dispatch_dims(call.dims, [&](auto dims) {
    dispatch_dtype(call.dtype, [&](auto zero) {
      affine_grid_partial_rows<decltype(dims)::value, decltype(zero)>(call, partial, begin, end);
    });
  });
}

}  // namespace
}  // namespace stn::cpu
