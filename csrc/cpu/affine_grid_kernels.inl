// The affine grid's kernels of one instruction set; see sample_kernels.inl.
#include "../core/affine_grid.h"
#include "../core/dispatch.h"
#include "kernels.h"
#include "partition.h"

namespace stn::cpu {
namespace {

template <typename params_t>
void affine_grid_rows(const AffineGridCall& call, int64_t begin, int64_t end) {
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims;
  const RowUnits units(call);
  const params_t params(call, units.chunks);
  const int64_t width = params.size[0];
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, first_row, last_row] = units.at(unit);
    scalar_t theta[kDims][kDims + 1], base[kDims + 1], coordinate[kDims];
    params.load_theta(n, theta);
    for (int64_t row = first_row; row < last_row; ++row) {
      base_of_row(row, params.size, params.align_corners, base);
      for (int64_t x = 0; x < width; ++x) {
        base[0] = base_coordinate<scalar_t>(x, width, params.align_corners);
        affine_coordinate(theta, base, coordinate);
        for (int e = 0; e < kDims; ++e) params.grid.store(n, e, row * width + x, coordinate[e]);
      }
    }
  }
}

template <typename params_t>
void affine_grid_partial_rows(const AffineGridCall& call, int64_t begin, int64_t end) {
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims, kEntries = params_t::kEntries;
  const RowUnits units(call);
  const params_t params(call, units.chunks);
  const int64_t width = params.size[0];
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, first_row, last_row] = units.at(unit);
    double sum[kDims][kDims + 1] = {};
    scalar_t base[kDims + 1], grad_coordinate[kDims];
    for (int64_t row = first_row; row < last_row; ++row) {
      base_of_row(row, params.size, params.align_corners, base);
      for (int64_t x = 0; x < width; ++x) {
        base[0] = base_coordinate<scalar_t>(x, width, params.align_corners);
        for (int e = 0; e < kDims; ++e) grad_coordinate[e] = params.grid.load(n, e, row * width + x);
        add_theta_gradient(grad_coordinate, base, sum);
      }
    }
    for (int i = 0; i < kEntries; ++i) params.partial[unit * kEntries + i] = sum[i / (kDims + 1)][i % (kDims + 1)];
  }
}

template <typename params_t>
void affine_grid_sums(const AffineGridCall& call, int64_t begin, int64_t end) {
  const params_t params(call, RowUnits(call).chunks);
  for (int64_t n = begin; n < end; ++n) {
    double sum[params_t::kEntries] = {};
    for (int64_t chunk = 0; chunk < params.chunks; ++chunk) {
      for (int i = 0; i < params_t::kEntries; ++i)
        sum[i] += params.partial[(n * params.chunks + chunk) * params_t::kEntries + i];
    }
    params.store_grad_theta(n, sum);
  }
}

/// Calls f(a null pointer to the call's AffineGridParams).
template <typename F>
STN_HOST void with_affine_grid_params(const AffineGridCall& call, F&& f) {
  dispatch_dims(call.dims, [&](auto dims) {
    constexpr int kDims = decltype(dims)::value;
    dispatch_dtype(call.dtype, [&](auto zero) { f(static_cast<AffineGridParams<kDims, decltype(zero), int64_t>*>(nullptr)); });
  });
}

void affine_grid(const AffineGridCall& call, int64_t begin, int64_t end) {
  with_affine_grid_params(call, [&](auto* type) { affine_grid_rows<std::remove_pointer_t<decltype(type)>>(call, begin, end); });
}

void affine_grid_partial(const AffineGridCall& call, int64_t begin, int64_t end) {
  with_affine_grid_params(
      call, [&](auto* type) { affine_grid_partial_rows<std::remove_pointer_t<decltype(type)>>(call, begin, end); });
}

void affine_grid_sum(const AffineGridCall& call, int64_t begin, int64_t end) {
  with_affine_grid_params(call, [&](auto* type) { affine_grid_sums<std::remove_pointer_t<decltype(type)>>(call, begin, end); });
}

}  // namespace
}  // namespace stn::cpu
