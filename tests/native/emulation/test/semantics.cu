// What CUDA promises to kernels, checked against its definitions. The emulation has to pass; so does a GPU, with nvcc in
// g++'s place. A loop over cases calls a kernel with each.
#include <cmath>
#include <numeric>

#include "device_array.h"

using namespace stn::cuda;

namespace {

constexpr unsigned kAll = ~0u;

enum class Shuffle { kIndex, kUp, kDown, kXor };

template <typename value_t>
__global__ void shuffle_kernel(value_t* result, const value_t* values, Shuffle kind, int operand, int width) {
  const value_t value = values[threadIdx.x];
  value_t other = 0;
  switch (kind) {
    case Shuffle::kIndex:
      other = __shfl_sync(kAll, value, operand, width);
      break;
    case Shuffle::kUp:
      other = __shfl_up_sync(kAll, value, operand, width);
      break;
    case Shuffle::kDown:
      other = __shfl_down_sync(kAll, value, operand, width);
      break;
    case Shuffle::kXor:
      other = __shfl_xor_sync(kAll, value, operand, width);
      break;
  }
  result[threadIdx.x] = other;
}

/// The lane that is read, word for word as the PTX manual defines shfl.sync.
int source_lane(Shuffle kind, int lane, int operand, int width) {
  const int segment_mask = 32 - width, clamp = kind == Shuffle::kUp ? 0 : 31, b = operand & 31;
  const int max_lane = (lane & segment_mask) | (clamp & ~segment_mask), min_lane = lane & segment_mask;
  switch (kind) {
    case Shuffle::kUp:
      return lane - b >= max_lane ? lane - b : lane;
    case Shuffle::kDown:
      return lane + b <= max_lane ? lane + b : lane;
    case Shuffle::kXor:
      return (lane ^ b) <= max_lane ? lane ^ b : lane;
    case Shuffle::kIndex:
      break;
  }
  return min_lane | (b & ~segment_mask);
}

template <typename value_t>
void check_shuffles() {
  std::vector<value_t> values(64);  // two warps: none reads the other's
  for (int i = 0; i < 64; ++i) values[i] = static_cast<value_t>(1.5 * i + 100);
  const DeviceArray<value_t> input(values), output(values.size());
  for (const Shuffle kind : {Shuffle::kIndex, Shuffle::kUp, Shuffle::kDown, Shuffle::kXor}) {
    for (int width = 1; width <= 32; width *= 2) {
      for (const int operand : {0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33}) {
        run(&shuffle_kernel<value_t>, {1, 64}, output.data(), input.data(), kind, operand, width);
        const std::vector<value_t> result = output.values();
        for (int i = 0; i < 64; ++i) {
          const int source = i / 32 * 32 + source_lane(kind, i % 32, operand, width);
          CHECK(result[i] == values[source], "kind %d, width %d, operand %d, thread %d reads %g and not %g", int(kind), width,
                operand, i, double(result[i]), double(values[source]));
        }
      }
    }
  }
}

/// Two halves of a warp, each with a mask of its own; the other half takes no part.
__global__ void half_warps_kernel(int* sums, unsigned* ballots, int* flags) {
  const unsigned lane = threadIdx.x, half = lane / 16, mask = half ? 0xFFFF0000u : 0x0000FFFFu;
  if (half == 0 || lane % 2 == 0) {
    const unsigned named = half ? mask & 0x55555555u : mask;
    int sum = static_cast<int>(lane);
    for (int distance = 8; distance >= (half ? 2 : 1); distance /= 2) sum += __shfl_xor_sync(named, sum, distance);
    sums[lane] = sum;
    ballots[lane] = __ballot_sync(named, lane % 4 == 0);
    flags[lane] = __any_sync(named, lane == 5) + 2 * __all_sync(named, lane >= 16 || lane == 5);
    __syncwarp(named);
  }
}

void check_half_warps() {
  const DeviceArray<int> sums(32, -1), flags(32, -1);
  const DeviceArray<unsigned> ballots(32, 7u);
  run(&half_warps_kernel, {1, 32}, sums.data(), ballots.data(), flags.data());
  for (int lane = 0; lane < 32; ++lane) {
    const bool first_half = lane < 16, takes_part = first_half || lane % 2 == 0;
    CHECK(sums.values()[lane] == (!takes_part ? -1 : first_half ? 120 : 8 * 16 + 56), "sum of lane %d", lane);
    CHECK(ballots.values()[lane] == (!takes_part ? 7u : first_half ? 0x00001111u : 0x11110000u), "ballot of lane %d", lane);
    CHECK(flags.values()[lane] == (!takes_part ? -1 : first_half ? 1 : 2), "any and all of lane %d", lane);
  }
}

__global__ void match_kernel(unsigned* peers, unsigned* same, int* predicates, unsigned long long* wide_peers) {
  const unsigned lane = threadIdx.x;
  peers[lane] = __match_any_sync(kAll, static_cast<int>(lane % 5));
  same[lane] = __match_all_sync(kAll, 3.5f, &predicates[lane]);
  int all_different = 1;
  const unsigned none = __match_all_sync(kAll, lane, &all_different);
  predicates[lane] += 2 * all_different + (none ? 4 : 0);
  wide_peers[lane] = __match_any_sync(kAll, (1ull << 40) + lane / 16);
}

void check_matches() {
  const DeviceArray<unsigned> peers(32), same(32);
  const DeviceArray<int> predicates(32);
  const DeviceArray<unsigned long long> wide_peers(32);
  run(&match_kernel, {1, 32}, peers.data(), same.data(), predicates.data(), wide_peers.data());
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned expected = 0;
    for (unsigned other = 0; other < 32; ++other) expected |= unsigned(other % 5 == lane % 5) << other;
    CHECK(peers.values()[lane] == expected, "peers of lane %u", lane);
    CHECK(same.values()[lane] == kAll && predicates.values()[lane] == 1, "lane %u", lane);
    CHECK(wide_peers.values()[lane] == (lane < 16 ? 0xFFFFu : 0xFFFF0000u), "lane %u", lane);
  }
}

/// Every value is added, whoever comes first; and the old values are those of some order.
__global__ void atomics_kernel(int* i, unsigned* u, unsigned long long* l, float* f, double* d, int* order) {
  STN_SHARED(int, in_block, [2]);
  if (threadIdx.x < 2) in_block[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(&in_block[threadIdx.x % 2], 1);
  atomicAdd(&i[0], -2);
  atomicAdd(u, 0x80000001u);
  atomicAdd(l, 1ull << 33);
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  atomicMin(&i[1], static_cast<int>(threadIdx.x) - 7);
  atomicMax(&i[2], static_cast<int>(blockIdx.x * 100 + threadIdx.x));
  atomicOr(&i[3], 1 << threadIdx.x % 8);
  atomicAnd(&i[4], ~(1 << threadIdx.x % 8));
  order[atomicAdd(&i[5], 1)] = 1;
  if (atomicCAS(&i[6], 0, 1) == 0) atomicAdd(&i[7], 1);
  atomicExch(&i[8], 42);
  __syncthreads();
  if (threadIdx.x == 0) i[9 + blockIdx.x] = in_block[0] * 1000 + in_block[1];
}

void check_atomics() {
  constexpr int kBlocks = 3, kBlockThreads = 96, kTotal = kBlocks * kBlockThreads;
  std::vector<int> start(12, 0);
  start[4] = 0xFFFF;
  const DeviceArray<int> i(start), order(kTotal);
  const DeviceArray<unsigned> u(1);
  const DeviceArray<unsigned long long> l(1);
  const DeviceArray<float> f(1);
  const DeviceArray<double> d(1);
  run(&atomics_kernel, {kBlocks, kBlockThreads}, i.data(), u.data(), l.data(), f.data(), d.data(), order.data());
  const std::vector<int> expected{-2 * kTotal, -7, 295, 255, 0xFF00, kTotal, 1, 1, 42, 48048, 48048, 48048};
  const std::vector<int> result = i.values();
  for (int k = 0; k < 12; ++k) CHECK(result[k] == expected[k], "number %d is %d and not %d", k, result[k], expected[k]);
  CHECK(u.values()[0] == 0x80000001u * kTotal && l.values()[0] == (1ull << 33) * kTotal, "sums of unsigned integers");
  CHECK(f.values()[0] == 0.5f * kTotal && d.values()[0] == 0.25 * kTotal, "sums of floats, exact ones");
  for (const int taken : order.values()) CHECK(taken == 1, "every place is taken once");
}

/// A block transposes a tile through static shared memory and reverses a row through dynamic; 3 dimensions of everything.
__global__ void transpose_kernel(float* output, const float* input) {
  STN_SHARED(float, tile, [8][9]);
  STN_SHARED(int, block_number, );
  STN_DYNAMIC_SHARED(float, row);
  const dim3 grid = gridDim;
  if (threadIdx.x + threadIdx.y == 0) block_number = blockIdx.x + grid.x * (blockIdx.y + grid.y * blockIdx.z);
  __syncthreads();
  const int at = 64 * block_number + 8 * threadIdx.y + threadIdx.x;
  tile[threadIdx.y][threadIdx.x] = input[at];
  row[threadIdx.y * blockDim.x + threadIdx.x] = input[at];
  __syncthreads();
  output[at] = tile[threadIdx.x][threadIdx.y] + 1000 * row[63 - (threadIdx.y * 8 + threadIdx.x)];
}

void check_shared_memory() {
  constexpr int kBlocks = 2 * 3 * 4;
  std::vector<float> values(kBlocks * 64);
  std::iota(values.begin(), values.end(), 0.0f);
  const DeviceArray<float> input(values), output(values.size());
  run(&transpose_kernel, {{2, 3, 4}, {8, 8}, 64 * sizeof(float)}, output.data(), input.data());
  const std::vector<float> result = output.values();
  for (int k = 0; k < kBlocks * 64; ++k) {
    const int first = k / 64 * 64, in_block = k % 64;
    const float expected = values[first + in_block % 8 * 8 + in_block / 8] + 1000 * values[first + 63 - in_block];
    CHECK(result[k] == expected, "element %d is %g and not %g", k, double(result[k]), double(expected));
  }
}

__global__ void vector_kernel(float* output, const float* input) {
  using Four = Vector<float, 4>;
  STN_SHARED(Four, reversed, [32]);
  auto vector = load_vector<4>(input + 4 * threadIdx.x);
  reversed[31 - threadIdx.x] = vector;
  __syncthreads();
  vector = reversed[threadIdx.x];
  for (float& value : vector.values) value *= 2;
  store_vector(output + 4 * threadIdx.x, vector);
}

void check_vectors() {
  std::vector<float> values(128);
  std::iota(values.begin(), values.end(), 0.0f);
  const DeviceArray<float> input(values), output(values.size());
  run(&vector_kernel, {1, 32}, output.data(), input.data());
  for (int k = 0; k < 128; ++k) CHECK(output.values()[k] == 2 * values[(31 - k / 4) * 4 + k % 4], "element %d", k);
}

__global__ void touch_kernel(int* where) {
  STN_DYNAMIC_SHARED(char, bytes);
  bytes[0] = 1;
  where[0] = bytes[0];
}

/// What CUDA refuses to launch, by its error; the next launch is not disturbed.
void check_configurations() {
  struct Case {
    LaunchShape shape;
    cudaError_t error;
  };
  const Case cases[] = {
      {{0, 32, 1}, cudaErrorInvalidConfiguration},
      {{1, 0, 1}, cudaErrorInvalidConfiguration},
      {{1, 1025, 1}, cudaErrorInvalidConfiguration},
      {{1, {32, 33}, 1}, cudaErrorInvalidConfiguration},
      {{1, {1, 1, 65}, 1}, cudaErrorInvalidConfiguration},
      {{{1, 65536}, 1, 1}, cudaErrorInvalidConfiguration},
      {{{1, 1, 65536}, 1, 1}, cudaErrorInvalidConfiguration},
      {{0x80000000u, 1, 1}, cudaErrorInvalidConfiguration},
      {{1, 1, (48 << 10) + 1}, cudaErrorInvalidValue},
      {{1, 1024, 48 << 10}, cudaSuccess},
      {{{1, 3, 65535}, 1, 1}, cudaSuccess},
  };
  const DeviceArray<int> where(1);
  for (const Case& c : cases) {
    const int error = launch(&touch_kernel, c.shape, nullptr, where.data());
    CHECK(error == c.error, "case %d gives %d", int(&c - cases), error);
    CHECK(cudaGetLastError() == cudaSuccess, "an error is reported once");
  }
  CHECK(cudaFuncSetAttribute(touch_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10) == cudaSuccess, "60 KiB");
  run(&touch_kernel, {1, 1, 60 << 10}, where.data());
  CHECK(where.values()[0] == 1, "after all that");
}

}  // namespace

int main() {
  check_shuffles<int>();
  check_shuffles<unsigned>();
  check_shuffles<float>();
  check_shuffles<double>();
  check_shuffles<long long>();
  check_half_warps();
  check_matches();
  check_atomics();
  check_shared_memory();
  check_vectors();
  check_configurations();
  std::printf("%ld checks passed\n", long(checks_done));
}
