#pragma once
#include "../core/affine_grid.h"
#include "launch.h"
#include "reduce.cuh"

namespace stn::cuda {

/// One thread a location of the grid. blocks: of kThreads for N * P.
template <typename params_t>
__global__ void __launch_bounds__(kThreads) affine_grid_kernel(const params_t params) {
  using index_t = typename params_t::index_t;
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims;
  const index_t i = static_cast<index_t>(blockIdx.x) * kThreads + static_cast<index_t>(threadIdx.x);
  if (i >= params.batch * params.locations) return;
  const index_t n = i / params.locations, location = i - n * params.locations;
  scalar_t theta[kDims][kDims + 1], base[kDims + 1], coordinate[kDims];
  params.load_theta(n, theta);
  params.base_of_location(location, base);
  affine_coordinate(theta, base, coordinate);
  STN_UNROLL
  for (int e = 0; e < kDims; ++e) params.grid.store(n, e, location, coordinate[e]);
}

/// The first stage of the gradient of theta: each block sums its chunk of an image's locations into partial[n][chunk].
/// blocks: N * chunks of kThreads.
template <typename params_t>
__global__ void __launch_bounds__(kThreads) affine_grid_partial_kernel(const params_t params) {
  using index_t = typename params_t::index_t;
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims, kCount = kDims * (kDims + 1);
  const index_t n = static_cast<index_t>(blockIdx.x) / params.chunks;
  const index_t chunk = static_cast<index_t>(blockIdx.x) - n * params.chunks;
  double sum[kDims][kDims + 1] = {};
  for (index_t location = chunk * kThreads + static_cast<index_t>(threadIdx.x); location < params.locations;
       location += params.chunks * kThreads) {
    scalar_t base[kDims + 1], grad_coordinate[kDims];
    params.base_of_location(location, base);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) grad_coordinate[e] = params.grid.load(n, e, location);
    add_theta_gradient(grad_coordinate, base, sum);
  }
  double values[kCount];
  STN_UNROLL
  for (int i = 0; i < kCount; ++i) values[i] = sum[i / (kDims + 1)][i % (kDims + 1)];
  sum_over_block(values);
  for (int i = 0; i < kCount && threadIdx.x == 0; ++i) {
    params.partial[static_cast<int64_t>(blockIdx.x) * kCount + i] = values[i];
  }
}

/// The second stage: the sum of an image's partial sums. blocks: N of kThreads.
template <typename params_t>
__global__ void __launch_bounds__(kThreads) affine_grid_sum_kernel(const params_t params) {
  constexpr int kCount = params_t::kDims * (params_t::kDims + 1);
  double values[kCount] = {};
  const int64_t n = blockIdx.x;
  for (int64_t chunk = threadIdx.x; chunk < params.chunks; chunk += kThreads) {
    for (int i = 0; i < kCount; ++i) values[i] += params.partial[(n * params.chunks + chunk) * kCount + i];
  }
  sum_over_block(values);
  if (threadIdx.x == 0) params.store_grad_theta(n, values);
}

}  // namespace stn::cuda
