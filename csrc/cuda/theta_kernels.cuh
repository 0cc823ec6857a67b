#pragma once
#include "../core/source.h"
#include "launch.h"
#include "reduce.cuh"

// The gradient of theta, in two stages of a fixed order: a block sums a part of an image's locations in double, by whichever
// kernel has the gradients of their coordinates; then one block an image sums those.

namespace stn::cuda {

/// The first stage's end: writes partial[block]. Every thread of the block has to call this.
template <int kEntries>
__device__ void store_partial(double* partial, double (&sum)[kEntries]) {
  sum_over_block(sum);
  for (int i = 0; i < kEntries && threadIdx.x == 0 && threadIdx.y == 0; ++i) {
    partial[static_cast<int64_t>(blockIdx.x) * kEntries + i] = sum[i];
  }
}

/// The second stage. blocks: N of kThreads.
template <int kDims, typename storage_t>
__global__ void __launch_bounds__(kThreads) theta_sum_kernel(const Transform<kDims, accumulate_t<storage_t>, int64_t> transform,
                                                             storage_t* const grad_theta, const int64_t blocks) {
  constexpr int kEntries = Transform<kDims, accumulate_t<storage_t>, int64_t>::kEntries;
  double sum[kEntries] = {};
  const int64_t n = blockIdx.x;
  for (int64_t block = threadIdx.x; block < blocks; block += kThreads) {
    for (int i = 0; i < kEntries; ++i) sum[i] += transform.partial[(n * blocks + block) * kEntries + i];
  }
  sum_over_block(sum);
  if (threadIdx.x == 0) transform.store_grad_theta(grad_theta, n, sum);
}

}  // namespace stn::cuda
