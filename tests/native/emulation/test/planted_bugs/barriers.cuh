#pragma once
#include "case.h"

// Threads that don't wait for each other, and threads that wait in vain.
namespace {

template <bool kBroken>
__global__ void missing_barrier_kernel(float* output, int count) {
  STN_SHARED(float, values, [kCount]);
  values[threadIdx.x] = 1;
  if (!kBroken) __syncthreads();
  output[threadIdx.x] = values[count - 1 - threadIdx.x];
}

/// The next round writes while this one is read.
template <bool kBroken>
__global__ void missing_second_barrier_kernel(float* output, int count) {
  STN_SHARED(float, values, [kCount]);
  float product = 1;
  for (int round = 0; round < 3; ++round) {
    values[threadIdx.x] = round == 1 ? 2 : 1;
    __syncthreads();
    product *= values[count - 1 - threadIdx.x];
    if (!kBroken) __syncthreads();
  }
  output[threadIdx.x] = product / 2;
}

/// Lanes of one warp trust that they run in step.
template <bool kBroken>
__global__ void missing_warp_barrier_kernel(float* output, int count) {
  STN_SHARED(float, values, [kCount]);
  values[threadIdx.x] = 1;
  if (!kBroken) __syncwarp();
  output[threadIdx.x] = values[count - 1 - threadIdx.x];
}

template <bool kBroken>
__global__ void divergent_barrier_kernel(float* output, int count) {
  output[threadIdx.x] = 1;
  if (kBroken && static_cast<int>(threadIdx.x) < count / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

template <bool kBroken>
__global__ void exit_before_barrier_kernel(float* output, int count) {
  const bool live = static_cast<int>(threadIdx.x) < count;
  if (kBroken && !live) return;
  __syncthreads();
  if (live) output[threadIdx.x] = 1;
}

template <bool kBroken>
__global__ void exit_while_others_wait_kernel(float* output, int count) {
  const bool live = static_cast<int>(threadIdx.x) >= count;
  if (!kBroken || live) __syncthreads();
  if (!live) output[threadIdx.x] = 1;
}

/// Which thread is last to write depends on the schedule.
template <bool kBroken>
__global__ void unordered_writes_kernel(float* output, int) {
  output[threadIdx.x] = 1;
  __syncthreads();
  if (kBroken || threadIdx.x == kCount - 1) output[0] = static_cast<float>(threadIdx.x + 2 - kCount);
}

/// Added without an atomic, by threads that read before others have written.
template <bool kBroken>
__global__ void lost_update_kernel(float* output, int count) {
  output[threadIdx.x] = threadIdx.x == 0 ? 0 : 1;
  __syncthreads();
  if (kBroken) {
    const float before = output[0];
    __syncwarp();
    output[0] = before + 1.0f / count;
  } else {
    atomicAdd(&output[0], 1.0f / count);
  }
}

const Case kBarriers[] = {
    {CASE(missing_barrier)},
    {CASE(missing_second_barrier)},
    {CASE(missing_warp_barrier)},
    {CASE(divergent_barrier)},
    {CASE(exit_before_barrier), {1, kCount + 1}},
    {CASE(exit_while_others_wait), {1, 2 * kCount}},
    {CASE(unordered_writes)},
    {CASE(lost_update)},
};

}  // namespace
