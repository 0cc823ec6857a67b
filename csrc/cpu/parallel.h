#pragma once
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <exception>
#include <mutex>

namespace stn::cpu {

/// body(begin, end) over the units [0, units), on torch's thread pool. `work` is a rough count of inner steps in all: little
/// of it stays on the calling thread, because waking the pool costs more.
template <typename F>
void parallel_units(int64_t units, int64_t work, const F& body) {
  constexpr int64_t kWorthAThread = 32768;
  if (units == 0) return;
  const int64_t work_per_unit = std::max<int64_t>(1, work / units);
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / work_per_unit);
  std::exception_ptr error;  // carried over by hand: the C boundary of the stable ABI would drop its message
  std::mutex lock;
  torch::stable::parallel_for(0, units, grain, [&](int64_t begin, int64_t end) {
    try {
      body(begin, end);
    } catch (...) {
      const std::lock_guard<std::mutex> hold(lock);
      error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace stn::cpu
