// The doors of device.h and emulation.h: one scheduler for all host threads, behind a lock.
#include <cstdlib>
#include <mutex>

#include "runtime.h"
#include "scheduler.h"

namespace emulation {
namespace {

Scheduler scheduler;
std::mutex mutex;  // launches of several host threads run one after another, as on one stream
thread_local bool launching = false;

uint64_t seed_of_environment() {
  const char* text = std::getenv("STN_EMULATION_SEED");
  return text ? std::strtoull(text, nullptr, 0) : 0;
}
uint64_t seed = seed_of_environment();

bool valid(const dim3& grid, const dim3& block) {
  constexpr unsigned kGridX = 0x7FFFFFFF, kGridYZ = 0xFFFF, kBlockXY = 1024, kBlockZ = 64, kThreads = 1024;
  return grid.x && grid.y && grid.z && grid.x <= kGridX && grid.y <= kGridYZ && grid.z <= kGridYZ && block.x && block.y &&
         block.z && block.x <= kBlockXY && block.y <= kBlockXY && block.z <= kBlockZ &&
         uint64_t(block.x) * block.y * block.z <= kThreads;
}

struct Launching {
  Launching() { launching = true; }
  ~Launching() { launching = false; }
};

}  // namespace

void set_seed(uint64_t value) {
  const std::lock_guard<std::mutex> lock(mutex);
  seed = value;
}

Counters counters() {
  const std::lock_guard<std::mutex> lock(mutex);
  return scheduler.counters;
}

void reset_counters() {
  const std::lock_guard<std::mutex> lock(mutex);
  scheduler.counters = {};
}

void run_launch(const KernelCall& call, dim3 grid, dim3 block, std::size_t shared_bytes) {
  if (launching) throw Refusal("a kernel launches a kernel");
  const std::size_t limit = shared_limit(call.function);
  if (!valid(grid, block)) return set_last_error(cudaErrorInvalidConfiguration);
  if (shared_bytes > limit) return set_last_error(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(mutex);
  const Launching guard;
  scheduler.run(call, grid, block, shared_bytes, limit, seed);
}

void barrier(const Site& site) { scheduler.barrier(site); }

uint64_t collective(Collective kind, const char* name, unsigned mask, uint64_t value, unsigned source, const Site& site) {
  return scheduler.collective(kind, name, mask, value, source, site);
}

void* static_shared(const SharedDeclaration& declaration, const Site& site) {
  return scheduler.static_shared(declaration, site);
}

void* dynamic_shared() { return scheduler.dynamic_shared(); }

void count_atomic() { ++scheduler.counters.atomics; }

void refuse(const Site& site, const char* operation, const std::string& what) { scheduler.refuse(site, operation, what); }

}  // namespace emulation
