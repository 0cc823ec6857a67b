#pragma once
#include "launch.h"
#include "mapping.h"

namespace stn::cuda {

/// Sums each of kCount numbers over the block of kThreads, in an order that depends on nothing; thread 0 has the result. Every
/// thread of the block has to call this, once in a kernel.
template <int kCount>
__device__ void sum_over_block(double (&values)[kCount]) {
  constexpr int kWarps = kThreads / 32;
  STN_SHARED(double, partial, [kWarps][kCount]);
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
  STN_UNROLL
  for (int i = 0; i < kCount; ++i) {
    STN_UNROLL
    for (int offset = 16; offset > 0; offset /= 2) values[i] += __shfl_down_sync(0xffffffffu, values[i], offset);
    if (thread % 32 == 0) partial[thread / 32][i] = values[i];
  }
  __syncthreads();
  for (int warp = 1; warp < kWarps && thread == 0; ++warp) {
    STN_UNROLL
    for (int i = 0; i < kCount; ++i) values[i] += partial[warp][i];
  }
}

/// Channels that a thread sums at once, in registers: each location is looked up, and its weight formed, once for all of them,
/// and their loads are under way together.
constexpr int kChannelsAtOnce = 8;

/// Sums over the columns of a block, in an order that depends on nothing; column 0 has the results. Every thread of the block
/// has to call this.
template <typename scalar_t>
__device__ void sum_over_columns(scalar_t (&sums)[kChannelsAtOnce]) {
  STN_SHARED(scalar_t, partial, [kChannelsAtOnce][kThreads]);
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();  // whoever still reads what was left from the last time
  STN_UNROLL
  for (int j = 0; j < kChannelsAtOnce; ++j) partial[j][thread] = sums[j];
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    STN_UNROLL
    for (int j = 0; j < kChannelsAtOnce; ++j) {
      if (threadIdx.x < half) partial[j][thread] += partial[j][thread + half];
    }
  }
  STN_UNROLL
  for (int j = 0; j < kChannelsAtOnce; ++j) sums[j] = partial[j][thread];
}

}  // namespace stn::cuda
