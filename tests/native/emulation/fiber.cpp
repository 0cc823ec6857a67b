#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Two ways of changing stacks: some instructions on x86-64, where a switch then costs a few nanoseconds; ucontext elsewhere,
// which asks the kernel to save the signal mask, every time. EMULATION_UCONTEXT forces it, so that x86-64 can test it.
#if defined(__x86_64__) && !defined(EMULATION_UCONTEXT)
#define EMULATION_SWITCH_BY_HAND
#else
#include <ucontext.h>
#endif

namespace emulation {
namespace {

constexpr std::size_t kStackBytes = 256 << 10;  // touched pages cost memory, reserved ones don't

Fiber* running = nullptr;

// AddressSanitizer has to know whose stack the processor is on. A fake stack is where it keeps locals when it looks for uses
// after return; each stack has one.
struct HostStack {
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  void* fake = nullptr;
} host;

#if defined(__SANITIZE_ADDRESS__)
void before_switch(void** own_fake, const void* bottom, std::size_t bytes) {
  __sanitizer_start_switch_fiber(own_fake, bottom, bytes);
}
void after_switch(void* own_fake, const void** left_bottom, std::size_t* left_bytes) {
  __sanitizer_finish_switch_fiber(own_fake, left_bottom, left_bytes);
}
#else
void before_switch(void**, const void*, std::size_t) {}
void after_switch(void*, const void**, std::size_t*) {}
#endif

}  // namespace

#if defined(EMULATION_SWITCH_BY_HAND)

/// Saves the registers that a function call must preserve on the stack, and the stack's pointer in *save; then the same
/// backwards at `to`. The rounding mode and the like are the same for all.
extern "C" __attribute__((visibility("hidden"))) void emulation_switch_stack(void** save, void* to);
asm(R"(
.pushsection .text
.hidden emulation_switch_stack
.globl emulation_switch_stack
.type emulation_switch_stack, @function
emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch_stack, . - emulation_switch_stack
.popsection
)");

struct Fiber::Context {
  void* stack_pointer;
  void* fake_stack = nullptr;

  Context(char* stack, std::size_t bytes) {
    constexpr int kSavedRegisters = 6;
    void** top = reinterpret_cast<void**>(stack + bytes);
    *--top = nullptr;  // as if enter() had been called from nowhere: a walk up the stack ends here
    *--top = reinterpret_cast<void*>(&Fiber::enter);  // what the switch returns to
    for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
    stack_pointer = top;
  }
  void switch_to() { emulation_switch_stack(&host_pointer, stack_pointer); }
  void switch_back() { emulation_switch_stack(&stack_pointer, host_pointer); }

  static inline void* host_pointer = nullptr;
};

#else

struct Fiber::Context {
  ucontext_t context;
  void* fake_stack = nullptr;

  Context(char* stack, std::size_t bytes) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, &Fiber::enter, 0);
  }
  void switch_to() { swapcontext(&host_context, &context); }
  void switch_back() { swapcontext(&context, &host_context); }

  static inline ucontext_t host_context;
};

#endif

Fiber::Fiber(void (*body)()) : body_(body) {
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapped_bytes_ = kStackBytes + page;
  void* mapping = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<char*>(mapping);
  mprotect(mapping_, page, PROT_NONE);
  stack_ = mapping_ + page;
  static std::size_t number = 0;  // stacks that began at the same place of their page would share a few lines of the cache
  stack_bytes_ = kStackBytes - number++ * 5 % 64 * 64;
  context_ = new Context(stack_, stack_bytes_);
}

Fiber::~Fiber() {
  delete context_;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_, stack_bytes_);  // its frames are never left, and others will get these addresses
#endif
  munmap(mapping_, mapped_bytes_);
}

void Fiber::enter() {
  after_switch(nullptr, &host.bottom, &host.bytes);
  running->body_();
  std::abort();
}

void Fiber::resume() {
  running = this;
  before_switch(&host.fake, stack_, stack_bytes_);
  context_->switch_to();
  after_switch(host.fake, nullptr, nullptr);
  running = nullptr;
}

void Fiber::suspend() {
  Context& context = *running->context_;
  before_switch(&context.fake_stack, host.bottom, host.bytes);
  context.switch_back();
  after_switch(context.fake_stack, &host.bottom, &host.bytes);
}

Fiber* Fiber::current() { return running; }

}  // namespace emulation
