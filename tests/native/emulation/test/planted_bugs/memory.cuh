#pragma once
#include "case.h"

// What a kernel reads, writes or takes that is not its own, not written, not aligned or not there.
namespace {

template <bool kBroken>
__global__ void global_past_the_end_kernel(float* output, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (kBroken ? i <= count : i < count) output[i] = 1;
}

template <bool kBroken>
__global__ void static_shared_past_the_end_kernel(float* output, int) {
  STN_SHARED(float, values, [kCount]);
  values[threadIdx.x] = 1;
  __syncthreads();
  const float* next = values + threadIdx.x + 1;  // through a pointer: not the compiler's bounds check, the block's
  output[threadIdx.x] = kBroken || threadIdx.x + 1 < kCount ? *next : 1;
}

template <bool kBroken>
__global__ void before_static_shared_kernel(float* output, int) {
  STN_SHARED(float, values, [kCount]);
  values[threadIdx.x] = 1;
  __syncthreads();
  const float* previous = values + threadIdx.x - 1;
  output[threadIdx.x] = kBroken || threadIdx.x > 0 ? *previous : 1;
}

template <bool kBroken>
__global__ void dynamic_shared_past_the_end_kernel(float* output, int count) {
  STN_DYNAMIC_SHARED(float, values);
  values[threadIdx.x + (kBroken ? 1 : 0)] = 1;
  __syncthreads();
  output[threadIdx.x] = static_cast<int>(threadIdx.x) < count ? 1 : 0;
}

template <bool kBroken>
__global__ void unwritten_shared_kernel(float* output, int count) {
  STN_SHARED(float, values, [2 * kCount]);
  values[threadIdx.x] = 1;
  if (!kBroken) values[threadIdx.x + count] = 0;
  __syncthreads();
  output[threadIdx.x] = values[threadIdx.x] + values[2 * count - 1 - threadIdx.x];
}

/// A block expects what the one before it left.
template <bool kBroken>
__global__ void shared_of_another_block_kernel(float* output, int) {
  STN_SHARED(float, value, [1]);
  if (threadIdx.x == 0 && (blockIdx.x == 0 || !kBroken)) value[0] = 1;
  __syncthreads();
  output[blockIdx.x * blockDim.x + threadIdx.x] = value[0];
}

template <bool kBroken>
__global__ void misaligned_load_kernel(float* output, int) {
  output[threadIdx.x] = 1;
  __syncthreads();
  const float value = load_vector<2>(output + (kBroken ? 1 : threadIdx.x & ~1u)).values[0];
  __syncthreads();
  output[threadIdx.x] = value;
}

template <bool kBroken>
__global__ void misaligned_store_kernel(float* output, int) {
  if (threadIdx.x % 4) return;
  store_vector(output + threadIdx.x, Vector<float, 4>{{1, 1, 1, 1}});
  if (kBroken) store_vector(output + threadIdx.x + 2, Vector<float, 4>{{1, 1, 1, 1}});
}

/// A static array of floats is aligned to a float, wherever it happens to lie on one GPU.
template <bool kBroken>
__global__ void misaligned_shared_vector_kernel(float* output, int) {
  using Four = Vector<float, 4>;
  STN_SHARED(float, by_chance, [kCount]);
  STN_SHARED(Four, by_type, [kCount / 4]);
  float* values = kBroken ? by_chance : by_type[0].values;
  values[threadIdx.x] = 1;
  __syncthreads();
  output[threadIdx.x] = load_vector<4>(values + threadIdx.x / 4 * 4).values[threadIdx.x % 4];
}

template <bool kBroken>
__global__ void misaligned_atomic_kernel(float* output, int) {
  output[threadIdx.x] = 0;
  char* address = reinterpret_cast<char*>(output + threadIdx.x) + (kBroken ? 2 : 0);
  atomicAdd(reinterpret_cast<float*>(address), 1.0f);
}

template <bool kBroken>
__global__ void too_much_shared_memory_kernel(float* output, int) {
  STN_SHARED(double, values, [kBroken ? 6145 : 6144]);
  values[threadIdx.x] = 1;
  output[threadIdx.x] = static_cast<float>(values[threadIdx.x]);
}

__attribute__((noinline)) int depth(volatile int* below) {
  volatile int here[64] = {};
  here[0] = *below + 1;
  return *below < 0 ? here[0] : depth(here) + here[0];
}

template <bool kBroken>
__global__ void endless_recursion_kernel(float* output, int) {
  volatile int start = kBroken ? 0 : -1;
  output[threadIdx.x] = depth(&start) == 0 ? 1 : 0;
}

const Case kMemory[] = {
    {CASE(global_past_the_end), {1, kCount + 1}},
    {CASE(static_shared_past_the_end)},
    {CASE(before_static_shared)},
    {CASE(dynamic_shared_past_the_end), {1, kCount, kCount * sizeof(float)}},
    {CASE(unwritten_shared)},
    {CASE(shared_of_another_block), {2, kCount / 2}},
    {CASE(misaligned_load)},
    {CASE(misaligned_store)},
    {CASE(misaligned_shared_vector)},
    {CASE(misaligned_atomic)},
    {CASE(too_much_shared_memory)},
    {CASE(endless_recursion)},
};

}  // namespace
