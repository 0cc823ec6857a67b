#pragma once
#include <cmath>

#include "case.h"

// Numbers that their type doesn't hold.
namespace {

/// Sizes of an image of 1.6e9 pixels, four bytes each.
template <bool kBroken>
__global__ void index_overflow_kernel(float* output, int count) {
  const int rows = 1250 * count, columns = 1250 * count;
  const int64_t bytes = kBroken ? rows * columns * 4 : int64_t(rows) * columns * 4;
  output[threadIdx.x] = bytes > 0 ? 1 : 0;
}

template <bool kBroken>
__global__ void float_to_int_kernel(float* output, int count) {
  const float coordinate = count * 1e19f;
  const int pixel = kBroken || std::fabs(coordinate) < 2147483648.0f ? static_cast<int>(coordinate) : -1;
  output[threadIdx.x] = pixel < 0 ? 1 : 0;
}

template <bool kBroken>
__global__ void nan_to_int_kernel(float* output, int) {
  const float coordinate = output[threadIdx.x];  // NaN before the kernel
  const int pixel = kBroken || coordinate == coordinate ? static_cast<int>(coordinate) : 0;
  output[threadIdx.x] = pixel == 0 ? 1 : 0;
}

const Case kArithmetic[] = {
    {CASE(index_overflow)},
    {CASE(float_to_int)},
    {CASE(nan_to_int)},
};

}  // namespace
