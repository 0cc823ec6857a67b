#pragma once
#include "../core/fill.h"
#include "reduce.cuh"

namespace stn::cuda {

/// One block a fill value [m, c]: its threads share the locations, in a fixed order. blocks: M * C of kThreads.
template <typename params_t>
__global__ void __launch_bounds__(kThreads) fill_gradient_kernel(const params_t params) {
  using index_t = typename params_t::index_t;
  const index_t m = static_cast<index_t>(blockIdx.x) / params.channels;
  const index_t c = static_cast<index_t>(blockIdx.x) - m * params.channels;
  double sum[1] = {params.sum(m, c, static_cast<index_t>(threadIdx.x), kThreads)};
  sum_over_block(sum);
  if (threadIdx.x == 0) params.grad_fill.at(m, c) = static_cast<typename params_t::scalar_t>(sum[0]);
}

}  // namespace stn::cuda
