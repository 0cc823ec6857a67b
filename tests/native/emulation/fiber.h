#pragma once
#include <cstddef>

namespace emulation {

/// A function with a stack of its own, which can be left in the middle and gone on with. One host thread at a time uses
/// fibers, and one fiber at a time runs. A guard page ends the stack, so that an endless recursion crashes and doesn't
/// write elsewhere; AddressSanitizer is told of every switch.
class Fiber {
 public:
  /// `body` starts at the first resume(). It never returns and lets no exception out.
  explicit Fiber(void (*body)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the host's stack: runs the fiber until it suspends itself.
  void resume();

  /// From a fiber: back to where it was resumed.
  static void suspend();

  /// The one that runs.
  static Fiber* current();

 private:
  struct Context;

  [[noreturn]] static void enter();

  void (*body_)();
  std::size_t mapped_bytes_;
  char* mapping_;  // the guard page, then the stack
  char* stack_;
  std::size_t stack_bytes_;
  Context* context_;
};

}  // namespace emulation
