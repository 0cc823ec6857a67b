// The grid generators' kernels of one instruction set; see sample_kernels.inl.
#pragma once
#include "../core/dispatch.h"
#include "kernels.h"
#include "transform.inl"

namespace stn::cpu {
namespace {

template <int kDims_, typename storage_t_>
struct TransformGridParams {
  static constexpr int kDims = kDims_;
  using storage_t = storage_t_;
  using scalar_t = accumulate_t<storage_t>;

  Transform<kDims, scalar_t, int64_t> transform;
  Locations<storage_t, int64_t> grid;

  STN_HOST explicit TransformGridParams(const TransformGridCall& call) : transform(call.transform), grid(call.grid) {}
};

/// Calls f(the call's TransformGridParams).
template <typename F>
STN_HOST void with_transform_grid_params(const TransformGridCall& call, F&& f) {
  dispatch_dims(call.transform.dims, [&](auto dims) {
    dispatch_dtype(call.dtype, [&](auto zero) { f(TransformGridParams<decltype(dims)::value, decltype(zero)>(call)); });
  });
}

void transform_grid(const TransformGridCall& call, int64_t begin, int64_t end) {
  with_transform_grid_params(call, [&](const auto& params) {
    using params_t = std::decay_t<decltype(params)>;
    constexpr int kDims = params_t::kDims;
    const LocationUnits units(call.transform.locations(), call.batch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [n, location, count] = units.at(unit);
      TileOf<kDims, typename params_t::scalar_t> result = {};
      if (!call.along_tangent) transform_coordinates(params.transform, n, location, count, result);
      for (int i = 0; i < count; ++i) {
        typename params_t::scalar_t one[kDims];
        if (call.along_tangent) params.transform.along(n, location + i, one);
        for (int e = 0; e < kDims; ++e) params.grid.store(n, e, location + i, call.along_tangent ? one[e] : result[e][i]);
      }
    }
  });
}

void transform_grid_backward(const TransformGridCall& call, int64_t begin, int64_t end) {
  with_transform_grid_params(call, [&](const auto& params) {
    using params_t = std::decay_t<decltype(params)>;
    constexpr int kDims = params_t::kDims;
    const LocationUnits units(call.transform.locations(), call.batch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [n, location, count] = units.at(unit);
      TileOf<kDims, typename params_t::scalar_t> gradient;
      for (int i = 0; i < count; ++i) {
        for (int e = 0; e < kDims; ++e) gradient[e][i] = params.grid.load(n, e, location + i);
      }
      if (!params.transform.is_flow()) {
        sum_theta_gradient(params.transform, unit, n, location, count, gradient, call.along_tangent);
        continue;
      }
      for (int i = 0; i < count; ++i) {
        typename params_t::scalar_t each[kDims];
        for (int e = 0; e < kDims; ++e) each[e] = gradient[e][i];
        params.transform.store_grad_flow(n, location + i, each, call.along_tangent);
      }
    }
  });
}

/// The second stage of theta's gradient, for the images [begin, end): the sum of their units in order.
template <typename storage_t, int kDims>
STN_HOST void sum_units(const TransformArrays& arrays, int64_t units_of_image, int64_t begin, int64_t end) {
  using Typed = Transform<kDims, accumulate_t<storage_t>, int64_t>;
  const Typed transform(arrays);
  for (int64_t n = begin; n < end; ++n) {
    double sum[Typed::kEntries] = {};
    for (int64_t unit = n * units_of_image; unit < (n + 1) * units_of_image; ++unit) {
      for (int i = 0; i < Typed::kEntries; ++i) sum[i] += arrays.partial[unit * Typed::kEntries + i];
    }
    transform.store_grad_theta(static_cast<storage_t*>(arrays.grad_theta), n, sum);
  }
}

void theta_sums(const TransformArrays& arrays, ScalarType dtype, int64_t begin, int64_t end) {
  const int64_t units = LocationUnits(arrays.locations(), 1).count;
  dispatch_dims(arrays.dims, [&](auto dims) {
    dispatch_dtype(dtype, [&](auto zero) { sum_units<decltype(zero), decltype(dims)::value>(arrays, units, begin, end); });
  });
}

}  // namespace
}  // namespace stn::cpu
