#pragma once
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "fiber.h"

namespace emulation {

/// Numbers that depend on nothing but the seed. (The standard's distributions may differ from library to library.)
class Shuffler {
 public:
  explicit Shuffler(uint64_t seed) : state_(seed) {}
  uint64_t below(uint64_t n) { return next() % n; }

  template <typename container_t>
  void shuffle(container_t& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  uint64_t next() {  // splitmix64: good from the first number on, whatever the seed
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

/// Runs the blocks of one launch one after another. Threads run on fibers, and a thread keeps its fiber until it ends or has
/// to wait; a fiber whose thread ended takes the next thread at once. So a kernel without barriers and collectives runs as a
/// plain loop on one fiber, and switches nothing. scheduler.cpp runs, waits.cpp waits.
class Scheduler {
 public:
  void run(const KernelCall& call, dim3 grid, dim3 block, std::size_t shared_bytes, std::size_t shared_limit, uint64_t seed);

  // From the running thread.
  void barrier(const Site& site);
  uint64_t collective(Collective kind, const char* name, unsigned mask, uint64_t value, unsigned source, const Site& site);
  void* static_shared(const SharedDeclaration& declaration, const Site& site);
  void* dynamic_shared() { return shared_.dynamic(); }
  [[noreturn]] void refuse(const Site& site, const char* operation, const std::string& what) const;

  Counters counters;

 private:
  enum class State : uint8_t { kUnstarted, kRunnable, kAtBarrier, kInCollective, kExited };

  /// Written when the thread starts (fiber) and when it has to wait (the rest); nothing of it is read before.
  struct Waiting {
    Fiber* fiber;      // holds its stack; nullptr while the thread runs and after its end
    Site site;         // of what it waits in
    const char* name;  // of that
    Collective kind;
    unsigned mask, source;
    uint64_t value, result;
  };

  /// Lanes as bits.
  struct Warp {
    unsigned lanes, exited, in_collective;
  };

  struct Cancelled {};  // thrown into the threads that are left when one has failed

  void run_block(std::size_t shared_bytes);
  void work();
  void run_thread(unsigned thread);
  void exit_thread(unsigned thread);
  void make_current(unsigned thread);
  void wait(State state, const Site& site, const char* name);
  void make_runnable(unsigned thread);
  bool next_is_unstarted();
  unsigned take_runnable();
  void complete_collective(unsigned first, unsigned mask);
  void cancel();
  Fiber* idle_fiber();
  Waiting& waiting_lane(unsigned first, unsigned lanes) { return waiting_[first + __builtin_ctz(lanes)]; }
  std::string thread_name(unsigned thread) const;
  std::string describe_kernel() const;
  [[noreturn]] void refuse_deadlock() const;

  const KernelCall* call_ = nullptr;
  unsigned count_ = 0;  // of threads in a block
  std::size_t shared_limit_ = 0;
  bool in_order_ = true;
  Shuffler shuffler_{0};
  SharedMemory shared_;

  std::vector<unsigned> order_;  // in which threads start
  std::size_t started_ = 0;
  std::vector<State> states_;
  std::vector<Waiting> waiting_;
  std::vector<Warp> warps_;
  std::deque<unsigned> runnable_;  // those that had to wait and don't any longer
  unsigned current_ = 0, exited_ = 0, first_exited_ = 0, at_barrier_ = 0;
  Site barrier_site_{};

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::exception_ptr failure_;
  bool cancelled_ = false;
};

}  // namespace emulation
