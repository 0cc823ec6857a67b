#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

// What tests of kernels ask of the emulation. Kernels and launchers don't include this: they include csrc/cuda/platform.h.

namespace emulation {

/// Where in the source something was called. Functions of the emulation take one as a default argument, which is evaluated
/// where they are called, so that kernels need say nothing.
struct Site {
  const char* file;
  int line;
  const char* function;

  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                             const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
};

/// A kernel did what a GPU leaves undefined. Thrown out of the launch; the message names the call site, the thread, its
/// block and the kernel.
class Refusal : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// The order of blocks, and in a block which thread goes on when several could. 0: by their numbers; any other: a shuffle
/// that depends on the seed alone, not on earlier launches. Before the first call it is $STN_EMULATION_SEED, or else 0.
void set_seed(uint64_t seed);

/// Since the last reset, over all launches.
struct Counters {
  uint64_t launches = 0, blocks = 0, threads = 0;
  uint64_t barriers = 0;     // of whole blocks
  uint64_t collectives = 0;  // of warps or the lanes named: shuffles, votes, matches, __syncwarp
  uint64_t shuffles = 0;     // the shuffles among them
  uint64_t atomics = 0;      // of one thread
  uint64_t suspensions = 0;  // how often a thread had to wait for others
};
Counters counters();
void reset_counters();

}  // namespace emulation
