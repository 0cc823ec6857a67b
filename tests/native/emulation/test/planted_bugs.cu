// Kernels with a bug each, and beside it the same kernel without. `planted_bugs <name> broken` has to fail: by a sanitizer, by
// a refusal, or by a result that is not the expected one under one of a few schedules. `planted_bugs <name> correct` passes.
#include <cmath>
#include <string>

#include "device_array.h"
#include "emulation.h"

using namespace stn::cuda;

namespace {

constexpr unsigned kAll = ~0u;
constexpr int kCount = 32;  // of the arrays, where nothing else is said

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

using Kernel = void (*)(float*, int);
struct Case {
  const char* name;
  Kernel broken, correct;
  LaunchShape shape = {1, kCount, 0};
};

#define CASE(name) #name, &name##_kernel<true>, &name##_kernel<false>
const Case kCases[] = {
    {CASE(global_past_the_end), {1, kCount + 1}},
    {CASE(static_shared_past_the_end)},
    {CASE(before_static_shared)},
    {CASE(dynamic_shared_past_the_end), {1, kCount, kCount * sizeof(float)}},
    {CASE(unwritten_shared)},
    {CASE(shared_of_another_block), {2, kCount / 2}},
    {CASE(missing_barrier)},
    {CASE(missing_second_barrier)},
    {CASE(missing_warp_barrier)},
    {CASE(divergent_barrier)},
    {CASE(exit_before_barrier), {1, kCount + 1}},
    {CASE(exit_while_others_wait), {1, 2 * kCount}},
    {CASE(exit_before_shuffle), {1, 2 * kCount}},
    {CASE(shuffle_after_exit), {1, 2 * kCount}},
    {CASE(barrier_against_shuffle)},
    {CASE(different_masks)},
    {CASE(mask_without_itself)},
    {CASE(lanes_that_do_not_exist), {1, 48}},
    {CASE(shuffle_from_outside_the_mask)},
    {CASE(different_collectives)},
    {CASE(misaligned_load)},
    {CASE(misaligned_store)},
    {CASE(misaligned_shared_vector)},
    {CASE(misaligned_atomic)},
    {CASE(index_overflow)},
    {CASE(float_to_int)},
    {CASE(nan_to_int)},
    {CASE(unordered_writes)},
    {CASE(lost_update)},
    {CASE(too_much_shared_memory)},
    {CASE(endless_recursion)},
};

}  // namespace

int main(int count, char** arguments) try {
  if (count == 1) {
    for (const Case& c : kCases) std::printf("%s\n", c.name);
    return 0;
  }
  const std::string name = arguments[1];
  const bool broken = count > 2 && arguments[2] == std::string("broken");
  for (const Case& c : kCases) {
    if (c.name != name) continue;
    for (uint64_t seed = 0; seed < 5; ++seed) {
      emulation::set_seed(seed);
      const DeviceArray<float> output(kCount, NAN);
      run(broken ? c.broken : c.correct, c.shape, output.data(), kCount);
      const std::vector<float> values = output.values();
      for (int i = 0; i < kCount; ++i) {
        CHECK(std::fabs(values[i] - 1) < 1e-5, "wrong result: element %d is %g under seed %d", i, double(values[i]), int(seed));
      }
    }
    std::printf("correct\n");
    return 0;
  }
  std::fprintf(stderr, "no such case: %s\n", arguments[1]);
  return 2;
} catch (const emulation::Refusal& refusal) {
  std::fprintf(stderr, "refused: %s\n", refusal.what());
  return 3;
}
