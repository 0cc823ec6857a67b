#include "scheduler.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <numeric>
#include <utility>

#include "messages.h"

namespace emulation {
namespace {

Scheduler* active = nullptr;  // that whose fibers run; `work` takes no argument

}  // namespace

void Scheduler::run(const KernelCall& call, dim3 grid, dim3 block, std::size_t shared_bytes, std::size_t shared_limit,
                    uint64_t seed) {
  active = this;
  call_ = &call;
  count_ = block.x * block.y * block.z;
  shared_limit_ = shared_limit;
  in_order_ = seed == 0;
  shuffler_ = Shuffler(seed);
  indices.grid_dim = grid;
  indices.block_dim = block;
  order_.resize(count_);
  std::iota(order_.begin(), order_.end(), 0u);
  waiting_.resize(count_);
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  std::vector<uint64_t> block_order(in_order_ ? 0 : blocks);
  std::iota(block_order.begin(), block_order.end(), uint64_t(0));
  shuffler_.shuffle(block_order);
  ++counters.launches;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t number = in_order_ ? i : block_order[i];
    indices.block = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                     static_cast<unsigned>(number / grid.x / grid.y)};
    if (!in_order_) shuffler_.shuffle(order_);
    run_block(shared_bytes);
  }
}

void Scheduler::run_block(std::size_t shared_bytes) {
  ++counters.blocks;
  counters.threads += count_;
  started_ = exited_ = at_barrier_ = 0;
  states_.assign(count_, State::kUnstarted);
  warps_.assign((count_ + kWarpLanes - 1) / kWarpLanes, {~0u, 0, 0});
  if (count_ % kWarpLanes) warps_.back().lanes = (1u << count_ % kWarpLanes) - 1;
  shared_.start_block(shared_bytes);
  try {
    while (!failure_ && exited_ < count_) {
      if (next_is_unstarted()) {
        idle_fiber()->resume();
      } else if (!runnable_.empty()) {
        const unsigned thread = take_runnable();
        make_current(thread);
        waiting_[thread].fiber->resume();
      } else {
        refuse_deadlock();
      }
    }
  } catch (...) {
    failure_ = std::current_exception();
  }
  if (failure_) cancel();
  shared_.start_block(0);
}

/// Whether a thread is started next, and not one gone on with. A thread that waited for nothing yet may also overtake
/// others, so a seed chooses among all.
bool Scheduler::next_is_unstarted() {
  const std::size_t unstarted = order_.size() - started_;
  if (!unstarted || runnable_.empty() || in_order_) return unstarted != 0;
  return shuffler_.below(unstarted + runnable_.size()) < unstarted;
}

unsigned Scheduler::take_runnable() {
  if (!in_order_) std::swap(runnable_.front(), runnable_[shuffler_.below(runnable_.size())]);
  const unsigned thread = runnable_.front();
  runnable_.pop_front();
  return thread;
}

Fiber* Scheduler::idle_fiber() {
  if (idle_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>([] { active->work(); }));
    idle_.push_back(fibers_.back().get());
  }
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return fiber;
}

/// The life of a fiber.
void Scheduler::work() {
  for (;;) {
    try {
      do {
        run_thread(order_[started_++]);
      } while (started_ < order_.size() && (in_order_ || runnable_.empty()));
    } catch (const Cancelled&) {
    } catch (...) {
      failure_ = std::current_exception();
    }
    idle_.push_back(Fiber::current());
    Fiber::suspend();
  }
}

void Scheduler::run_thread(unsigned thread) {
  make_current(thread);
  states_[thread] = State::kRunnable;
  waiting_[thread].fiber = nullptr;
  call_->invoke(call_->arguments);
  exit_thread(current_);
}

void Scheduler::make_current(unsigned thread) {
  current_ = thread;
  indices.thread = thread_index(thread, indices.block_dim);
  indices.lane = thread % kWarpLanes;
}

/// A thread failed. The others that were started are ended by an exception too, so that nothing of them stays on their
/// stacks.
void Scheduler::cancel() {
  cancelled_ = true;
  runnable_.clear();
  for (unsigned thread = 0; thread < count_; ++thread) {
    if (states_[thread] != State::kUnstarted && waiting_[thread].fiber) waiting_[thread].fiber->resume();
  }
  cancelled_ = false;
  std::rethrow_exception(std::exchange(failure_, nullptr));
}

void* Scheduler::static_shared(const SharedDeclaration& declaration, const Site& site) {
  if (void* data = shared_.find(declaration)) return data;
  const std::size_t bytes = shared_.static_bytes() + declaration.bytes, limit = std::size_t(48) << 10;
  if (bytes > limit || bytes + shared_.dynamic_bytes() > shared_limit_) {
    refuse(site, (std::string("STN_SHARED ") + declaration.name).c_str(),
           "a block has " + std::to_string(bytes) + " bytes of static and " + std::to_string(shared_.dynamic_bytes()) +
               " of dynamic shared memory; the limits are " + std::to_string(limit) + ", and " + std::to_string(shared_limit_) +
               " for both");
  }
  return shared_.add(declaration);
}

std::string Scheduler::thread_name(unsigned thread) const { return text(thread_index(thread, indices.block_dim)); }

/// The kernel's name where the linker left it (-rdynamic, or a library), else its type, which at least has its parameters'.
std::string Scheduler::describe_kernel() const {
  Dl_info info{};
  const bool named = dladdr(call_->function, &info) && info.dli_sname && info.dli_saddr == call_->function;
  const char* mangled = named ? info.dli_sname : call_->type->name();
  char* readable = abi::__cxa_demangle(mangled, nullptr, nullptr, nullptr);
  const std::string name = readable ? readable : mangled;
  std::free(readable);
  return named ? name : "a kernel of type " + name;
}

void Scheduler::refuse(const Site& site, const char* operation, const std::string& what) const {
  throw Refusal(std::string(operation) + " at " + text(site) + " in " + site.function + ": " + what + "; thread " +
                text(indices.thread) + " of block " + text(indices.block) + ", " + describe_kernel());
}

}  // namespace emulation
