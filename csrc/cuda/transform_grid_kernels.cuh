#pragma once
#include "theta_kernels.cuh"

namespace stn::cuda {

/// A TransformGridCall as the kernels of one instantiation see it. `blocks`: of an image, in the backward.
template <int kDims_, typename storage_t_, typename index_t_>
struct TransformGridParams {
  static constexpr int kDims = kDims_;
  using storage_t = storage_t_;
  using scalar_t = accumulate_t<storage_t>;
  using index_t = index_t_;

  Transform<kDims, scalar_t, index_t> transform;
  Locations<storage_t, index_t> grid;
  index_t batch, locations, blocks;
  bool along_tangent;

  STN_HOST TransformGridParams(const TransformGridCall& call, int64_t blocks)
      : transform(call.transform),
        grid(call.grid),
        batch(static_cast<index_t>(call.batch)),
        locations(static_cast<index_t>(call.transform.locations())),
        blocks(static_cast<index_t>(blocks)),
        along_tangent(call.along_tangent) {}
};

/// One thread a location of the grid. blocks: of kThreads for N * P.
template <typename params_t>
__global__ void __launch_bounds__(kThreads) transform_grid_kernel(const params_t params) {
  using index_t = typename params_t::index_t;
  const index_t i = static_cast<index_t>(blockIdx.x) * kThreads + static_cast<index_t>(threadIdx.x);
  if (i >= params.batch * params.locations) return;
  const index_t n = i / params.locations, location = i - n * params.locations;
  typename params_t::scalar_t result[params_t::kDims];
  if (params.along_tangent) {
    params.transform.along(n, location, result);
  } else {
    params.transform.coordinate(n, location, result);
  }
  STN_UNROLL
  for (int e = 0; e < params_t::kDims; ++e) params.grid.store(n, e, location, result[e]);
}

/// Writes grad_flow, or the partial sums of theta's gradient. blocks: N * params.blocks of kThreads.
template <typename params_t>
__global__ void __launch_bounds__(kThreads) transform_grid_backward_kernel(const params_t params) {
  using index_t = typename params_t::index_t;
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims;
  const auto& transform = params.transform;
  const index_t n = static_cast<index_t>(blockIdx.x) / params.blocks;
  const index_t block = static_cast<index_t>(blockIdx.x) - n * params.blocks;
  double sum[Transform<kDims, scalar_t, index_t>::kEntries] = {};
  for (index_t location = block * kThreads + static_cast<index_t>(threadIdx.x); location < params.locations;
       location += params.blocks * kThreads) {
    scalar_t gradient[kDims], position[kDims], rows[kDims + 1];
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) gradient[e] = params.grid.load(n, e, location);
    if (transform.is_flow()) {
      transform.store_grad_flow(n, location, gradient, params.along_tangent);
      continue;
    }
    transform.position_of(location, position);
    if (params.along_tangent) {
      transform.map_of(n).second_row_gradients(transform.tangent_of(n), position, gradient, rows);
    } else {
      transform.map_of(n).row_gradients(position, gradient, rows);
    }
    transform.add_theta_gradient(rows, position, sum);
  }
  if (!transform.is_flow()) store_partial(transform.partial, sum);
}

}  // namespace stn::cuda
