#pragma once
#include "launch.h"
#include "mapping.h"

namespace stn::cuda {

/// Sums each of kCount numbers over the block, in an order that depends on nothing; thread 0 has the result. Every thread of
/// the block has to call this, once in a kernel.
template <int kCount>
__device__ void sum_over_block(double (&values)[kCount]) {
  constexpr int kWarps = kThreads / 32;
  STN_SHARED(double, partial, [kWarps][kCount]);
  STN_UNROLL
  for (int i = 0; i < kCount; ++i) {
    STN_UNROLL
    for (int offset = 16; offset > 0; offset /= 2) values[i] += __shfl_down_sync(0xffffffffu, values[i], offset);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32][i] = values[i];
  }
  __syncthreads();
  for (int warp = 1; warp < kWarps && threadIdx.x == 0; ++warp) {
    STN_UNROLL
    for (int i = 0; i < kCount; ++i) values[i] += partial[warp][i];
  }
}

}  // namespace stn::cuda
