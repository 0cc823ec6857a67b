#pragma once
#include "case.h"

// Warps whose lanes don't agree on who takes part in what.
namespace {

template <bool kBroken>
__global__ void exit_before_shuffle_kernel(float* output, int) {
  const bool live = threadIdx.x % 2 == 0;
  if (kBroken && !live) return;
  const float other = __shfl_xor_sync(kAll, 1.0f, 2);
  if (live) output[threadIdx.x / 2] = other;
}

template <bool kBroken>
__global__ void shuffle_after_exit_kernel(float* output, int) {
  const bool live = threadIdx.x % 2 == 1;
  if (kBroken && !live) return;
  const float other = __shfl_xor_sync(kAll, 1.0f, 2);
  if (live) output[threadIdx.x / 2] = other;
}

template <bool kBroken>
__global__ void barrier_against_shuffle_kernel(float* output, int count) {
  float value = 1;
  if (kBroken && static_cast<int>(threadIdx.x) < count / 2) {
    __syncthreads();
  } else {
    value = __shfl_sync(kAll, value, 0);
  }
  output[threadIdx.x] = value;
}

template <bool kBroken>
__global__ void different_masks_kernel(float* output, int) {
  output[threadIdx.x] = __shfl_sync(kBroken && threadIdx.x == 0 ? 0xFFFFu : kAll, 1.0f, 0);
}

template <bool kBroken>
__global__ void mask_without_itself_kernel(float* output, int) {
  output[threadIdx.x] = static_cast<float>(__any_sync(kBroken ? kAll - 1 : kAll, 1));
}

/// The second warp of 48 threads has 16 lanes.
template <bool kBroken>
__global__ void lanes_that_do_not_exist_kernel(float* output, int) {
  const unsigned mask = kBroken || threadIdx.x < 32 ? kAll : 0xFFFFu;
  output[threadIdx.x % kCount] = __shfl_sync(mask, 1.0f, 0);
}

/// The result comes from a lane that the mask leaves out.
template <bool kBroken>
__global__ void shuffle_from_outside_the_mask_kernel(float* output, int) {
  float value = 1;
  if (threadIdx.x < 16) value = __shfl_down_sync(0xFFFFu, value, 4, kBroken ? 32 : 16);
  output[threadIdx.x] = value;
}

template <bool kBroken>
__global__ void different_collectives_kernel(float* output, int) {
  int any = 0;
  if (kBroken && threadIdx.x % 2) {
    any = __any_sync(kAll, 1);
  } else {
    any = __all_sync(kAll, 1);
  }
  output[threadIdx.x] = static_cast<float>(any);
}

const Case kCollectives[] = {
    {CASE(exit_before_shuffle), {1, 2 * kCount}},
    {CASE(shuffle_after_exit), {1, 2 * kCount}},
    {CASE(barrier_against_shuffle)},
    {CASE(different_masks)},
    {CASE(mask_without_itself)},
    {CASE(lanes_that_do_not_exist), {1, 48}},
    {CASE(shuffle_from_outside_the_mask)},
    {CASE(different_collectives)},
};

}  // namespace
