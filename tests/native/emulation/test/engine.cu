// What the emulation adds to CUDA: schedules by seed, counters, refusals that name the place, launches from several host
// threads. `engine speed` prints what a thread costs instead.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <stdexcept>
#include <thread>

#include "device_array.h"
#include "emulation.h"

using namespace stn::cuda;

// Not in an unnamed namespace: a refusal names the kernel, if the linker knows it.

constexpr uint64_t kSeeds[] = {0, 1, 2, 3, 99};

/// Writes down who comes, before and after a barrier.
__global__ void log_kernel(int* log, int* next) {
  log[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  __syncthreads();
  log[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> schedule(uint64_t seed) {
  constexpr int kBlocks = 5, kBlockThreads = 48, kEntries = kBlocks * kBlockThreads * 2;
  emulation::set_seed(seed);
  const DeviceArray<int> log(kEntries, -1), next(1);
  run(&log_kernel, {kBlocks, kBlockThreads}, log.data(), next.data());
  const std::vector<int> result = log.values();
  for (int k = 0; k < kEntries; ++k) {  // blocks one after another, each in two passes that a barrier keeps apart
    const int pass = k / kBlockThreads * kBlockThreads;
    CHECK(result[k] / kBlockThreads == result[k / (2 * kBlockThreads) * (2 * kBlockThreads)] / kBlockThreads, "entry %d", k);
    CHECK(std::set<int>(&result[pass], &result[pass] + kBlockThreads).size() == kBlockThreads, "pass of entry %d", k);
  }
  return result;
}

void check_schedules() {
  const std::vector<int> natural = schedule(0);
  for (int k = 0; k < 48; ++k) CHECK(natural[k] == k, "seed 0 starts threads by number");
  CHECK(natural[48] == 47 && natural[49] == 0 && natural[95] == 46,
        "the last to reach a barrier goes on first, then by number");
  std::set<std::vector<int>> different;
  for (const uint64_t seed : kSeeds) different.insert(schedule(seed));
  CHECK(different.size() == 5, "seeds make schedules");
  const std::vector<int> shuffled = schedule(1);
  CHECK(!std::equal(&shuffled[0], &shuffled[47], &shuffled[49]), "after a barrier threads go on in an order of their own");
  CHECK(schedule(7) == schedule(7) && schedule(0) == natural, "a seed decides the schedule, whatever ran before");
  emulation::set_seed(0);
}

/// Two lanes meet twice. A third thread, in another warp, may see any state of theirs: before, between and after.
__global__ void late_start_kernel(int* seen, int* flag) {
  if (threadIdx.x < 2) {
    if (threadIdx.x == 0) *flag = 1;
    __syncwarp(3);
    if (threadIdx.x == 0) *flag = 2;
    __syncwarp(3);
    if (threadIdx.x == 0) *flag = 3;
  }
  if (threadIdx.x == 32) *seen = *flag;
}

void check_interleavings() {
  std::set<int> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    emulation::set_seed(seed);
    const DeviceArray<int> result(1, -1), flag(1);
    run(&late_start_kernel, {1, 64}, result.data(), flag.data());
    seen.insert(result.values()[0]);
  }
  CHECK((seen == std::set<int>{0, 1, 2, 3}), "50 seeds show %zu of 4 outcomes", seen.size());
  emulation::set_seed(0);
}

__global__ void atomic_sum_kernel(float* sum, const float* values, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) atomicAdd(sum, values[i]);
}

/// Each block sums a part in an order of its own: shuffles, then shared memory.
__global__ void partial_sum_kernel(float* partial, const float* values, int count) {
  STN_SHARED(float, warp_sums, [8]);
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float sum = i < count ? values[i] : 0.0f;
  for (int distance = 16; distance; distance /= 2) sum += __shfl_down_sync(~0u, sum, distance);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += warp_sums[warp];
    partial[blockIdx.x] = sum;
  }
}

__global__ void total_kernel(float* sum, const float* partial, int count) {
  float total = 0;
  for (int k = 0; k < count; ++k) total += partial[k];
  *sum = total;
}

void check_determinism() {
  constexpr int kCount = 10000, kBlocks = (kCount + 255) / 256;
  std::vector<float> values(kCount);
  Random random{1};
  double exact = 0;
  for (float& value : values) exact += value = static_cast<float>(random.uniform());
  const DeviceArray<float> input(values);
  std::set<float> by_atomics, by_stages;
  for (const uint64_t seed : kSeeds) {
    emulation::set_seed(seed);
    const DeviceArray<float> sum(1), partial(kBlocks, NAN), total(1, NAN);
    run(&atomic_sum_kernel, {kBlocks}, sum.data(), input.data(), kCount);
    run(&partial_sum_kernel, {kBlocks}, partial.data(), input.data(), kCount);
    run(&total_kernel, {1, 1}, total.data(), partial.data(), kBlocks);
    by_atomics.insert(sum.values()[0]);
    by_stages.insert(total.values()[0]);
    CHECK(std::fabs(sum.values()[0] - exact) < 0.1, "%g", double(sum.values()[0]));
    CHECK(std::fabs(total.values()[0] - exact) < 0.01, "%g", double(total.values()[0]));
  }
  CHECK(by_atomics.size() > 1, "the bits of an atomic sum depend on the order");
  CHECK(by_stages.size() == 1, "a sum in two stages has %zu values", by_stages.size());
  std::printf("a sum of floats under 5 seeds: %zu values by atomics, %zu in two stages\n", by_atomics.size(), by_stages.size());
  emulation::set_seed(0);
}

void check_counters() {
  emulation::reset_counters();
  const DeviceArray<float> values(1000, 1.0f), partial(4), sum(1);
  run(&atomic_sum_kernel, {4}, sum.data(), values.data(), 1000);
  const emulation::Counters plain = emulation::counters();
  CHECK(plain.launches == 1 && plain.blocks == 4 && plain.threads == 1024 && plain.atomics == 1000, "the plain kernel");
  CHECK(plain.barriers + plain.collectives + plain.suspensions == 0, "a kernel that waits for nothing switches nothing");
  run(&partial_sum_kernel, {4}, partial.data(), values.data(), 1000);
  const emulation::Counters both = emulation::counters();
  CHECK(both.launches == 2 && both.barriers == 4 && both.shuffles == 4 * 8 * 5, "%lu shuffles", long(both.shuffles));
  CHECK(both.collectives == both.shuffles && both.atomics == 1000, "nothing else");
  CHECK(both.suspensions == 4 * (255 + 8 * 5 * 31), "all but the last to come wait: %lu", long(both.suspensions));
  emulation::reset_counters();
  CHECK(emulation::counters().threads == 0, "reset");
}

int alive = 0;
struct CountsItself {
  CountsItself() { ++alive; }
  ~CountsItself() { --alive; }
};

constexpr int kRefusedLine = __LINE__ + 4;
template <typename value_t>
__global__ void refused_kernel(value_t* values) {
  const CountsItself local;
  if (threadIdx.x < 20) values[threadIdx.x] = __shfl_down_sync(~0u, values[threadIdx.x], 1);
}

__global__ void throwing_kernel(int*) {
  __syncwarp();
  if (threadIdx.x == 3) throw std::out_of_range("not the emulation's");
  __syncthreads();
}

__global__ void launching_kernel(int* values) { run(&throwing_kernel, {1, 32}, values); }

/// A refusal says where, who and why; it ends the threads that were started; and the next launch is as good as any.
void check_refusals() {
  const DeviceArray<float> values(64, 1.0f);
  const DeviceArray<int> numbers(64, 1);
  for (const uint64_t seed : kSeeds) {
    emulation::set_seed(seed);
    try {
      run(&refused_kernel<float>, {{3, 2}, 32}, values.data());
      CHECK(false, "not refused");
    } catch (const emulation::Refusal& refusal) {
      const std::string message = refusal.what(), place = std::string(__FILE__) + ":" + std::to_string(kRefusedLine);
      for (const std::string& part :
           {std::string("__shfl_down_sync at ") + place + " in refused_kernel<float>: ", std::string("lane "),
            std::string(" of block ("), std::string("void refused_kernel<float>(float*)")}) {
        CHECK(message.find(part) != std::string::npos, "'%s' is not in: %s", part.c_str(), message.c_str());
      }
      if (seed == 0) std::printf("%s\n", message.c_str());
    }
    CHECK(alive == 0, "%d locals were left", alive);
    try {
      run(&throwing_kernel, {2, 32}, numbers.data());
      CHECK(false, "not thrown");
    } catch (const std::out_of_range& error) {
      CHECK(std::string(error.what()) == "not the emulation's", "%s", error.what());
    }
    try {
      run(&launching_kernel, {1, 1}, numbers.data());
      CHECK(false, "not refused");
    } catch (const emulation::Refusal& refusal) {
    }
    schedule(seed);
  }
  emulation::set_seed(0);
}

__global__ void shared_sum_kernel(float* result, int rounds) {
  STN_SHARED(float, values, [64]);
  float sum = 0;
  for (int round = 0; round < rounds; ++round) {
    values[threadIdx.x] = static_cast<float>(threadIdx.x + round);
    __syncthreads();
    sum += values[63 - threadIdx.x];
    __syncthreads();
  }
  result[blockIdx.x * 64 + threadIdx.x] = sum;
}

/// As from the threads of a data loader, or of autograd.
void check_host_threads() {
  std::vector<std::thread> threads;
  std::vector<int> errors(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t, &errors] {
      for (int repetition = 0; repetition < 20; ++repetition) {
        const DeviceArray<float> result(128, NAN);
        run(&shared_sum_kernel, {2, 64}, result.data(), 3 + t);
        const std::vector<float> sums = result.values();
        for (int i = 0; i < 128; ++i) errors[t] += sums[i] != (3 + t) * (63 - i % 64) + (3 + t) * (2 + t) / 2;
        if (t == 0) errors[t] += launch(&shared_sum_kernel, {0}, nullptr, result.data(), 1) != cudaErrorInvalidConfiguration;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t) CHECK(errors[t] == 0, "%d errors in host thread %d", errors[t], t);
}

__global__ void scale_kernel(float* output, const float* input) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  output[i] = 2 * input[i];
}

template <typename F>
void print_speed(const char* what, F&& f) {
  f();
  emulation::reset_counters();
  const auto start = std::chrono::steady_clock::now();
  f();
  const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
  const emulation::Counters c = emulation::counters();
  std::printf("%-32s %6.1f ns a thread", what, ns / double(c.threads));
  if (c.suspensions) std::printf(", %5.1f ns a wait", ns / double(c.suspensions));
  std::printf("\n");
}

void print_speeds() {
  constexpr int kBlocks = 4000, kCount = kBlocks * kThreads;
  const DeviceArray<float> input(kCount, 1.0f), output(kCount), partial(kBlocks), sum(1);
  print_speed("a kernel that waits for nothing", [&] { run(&scale_kernel, {kBlocks}, output.data(), input.data()); });
  print_speed("an atomic a thread", [&] { run(&atomic_sum_kernel, {kBlocks}, sum.data(), input.data(), kCount); });
  print_speed("5 shuffles and a barrier", [&] { run(&partial_sum_kernel, {kBlocks}, partial.data(), input.data(), kCount); });
  emulation::set_seed(1);
  print_speed("the same in a shuffled order",
              [&] { run(&partial_sum_kernel, {kBlocks}, partial.data(), input.data(), kCount); });
}

int main(int count, char** arguments) {
  if (count > 1 && std::string(arguments[1]) == "speed") {
    print_speeds();
    return 0;
  }
  check_schedules();
  check_interleavings();
  check_determinism();
  check_counters();
  check_refusals();
  check_host_threads();
  std::printf("%ld checks passed\n", long(checks_done));
}
