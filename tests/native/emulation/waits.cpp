// The scheduler's part that waits: barriers, collectives, and what makes them impossible.
#include <map>

#include "messages.h"
#include "scheduler.h"

namespace emulation {

void Scheduler::wait(State state, const Site& site, const char* name) {
  const unsigned thread = current_;
  Waiting& own = waiting_[thread];
  own.fiber = Fiber::current();
  own.site = site;
  own.name = name;
  states_[thread] = state;
  ++counters.suspensions;
  Fiber::suspend();
  own.fiber = nullptr;
  if (cancelled_) throw Cancelled{};
}

void Scheduler::make_runnable(unsigned thread) {
  states_[thread] = State::kRunnable;
  runnable_.push_back(thread);
}

void Scheduler::barrier(const Site& site) {
  if (exited_) refuse(site, "__syncthreads", "divergent barrier: thread " + thread_name(first_exited_) + " has exited");
  if (at_barrier_ == 0) {
    barrier_site_ = site;
  } else if (!same(site, barrier_site_)) {
    refuse(site, "__syncthreads", "divergent barrier: other threads of the block wait at " + text(barrier_site_));
  }
  if (++at_barrier_ < count_) return wait(State::kAtBarrier, site, "__syncthreads");
  ++counters.barriers;
  at_barrier_ = 0;
  for (unsigned thread : order_) {
    if (thread != current_) make_runnable(thread);
  }
}

uint64_t Scheduler::collective(Collective kind, const char* name, unsigned mask, uint64_t value, unsigned source,
                               const Site& site) {
  const unsigned thread = current_, lane = indices.lane, first = thread - lane;
  Warp& warp = warps_[thread / kWarpLanes];
  const auto refuse_mask = [&](const std::string& what) { refuse(site, name, "mask " + hexadecimal(mask) + what); };
  const auto refuse_difference = [&](unsigned others) {
    const Waiting& other = waiting_lane(first, others);
    refuse_mask(" differs from that of lane " + std::to_string(__builtin_ctz(others)) + ", which waits at " + text(other.site) +
                " with " + hexadecimal(other.mask));
  };
  if (!(mask >> lane & 1)) refuse_mask(" does not name the lane that calls, " + std::to_string(lane));
  if (const unsigned missing = mask & ~warp.lanes) {
    refuse_mask(" names lane " + std::to_string(__builtin_ctz(missing)) + ", which a block of " + std::to_string(count_) +
                " threads does not have in this warp");
  }
  if (const unsigned exited = mask & warp.exited) {
    refuse_mask(" names lane " + std::to_string(__builtin_ctz(exited)) + ", which has exited");
  }
  // Those that wait for one another agree, so that one of them speaks for all.
  if (const unsigned waiting = mask & warp.in_collective) {
    const Waiting& other = waiting_lane(first, waiting);
    if (other.mask != mask) refuse_difference(waiting);
    if (!same(other.site, site) || other.kind != kind) {
      refuse(site, name,
             "lane " + std::to_string(__builtin_ctz(waiting)) + " waits in another collective, " + other.name + " at " +
                 text(other.site));
    }
  }
  for (unsigned others = warp.in_collective & ~mask; others; others &= others - 1) {
    if (waiting_lane(first, others).mask >> lane & 1) refuse_difference(others);
  }

  Waiting& own = waiting_[thread];
  own.kind = kind, own.mask = mask, own.source = source, own.value = value;
  warp.in_collective |= 1u << lane;
  if (mask & ~warp.in_collective) {
    wait(State::kInCollective, site, name);
  } else {
    complete_collective(first, mask);
    warp.in_collective &= ~mask;
    ++counters.collectives;
    counters.shuffles += kind == Collective::kShuffle;
    for (unsigned lanes = mask & ~(1u << lane); lanes; lanes &= lanes - 1) make_runnable(first + __builtin_ctz(lanes));
  }
  return own.result;
}

/// The results of all lanes, by the last that came.
void Scheduler::complete_collective(unsigned first, unsigned mask) {
  const Collective kind = waiting_lane(first, mask).kind;
  const uint64_t some_value = waiting_lane(first, mask).value;
  unsigned voters = 0;
  bool all_same = true;
  for (unsigned lanes = mask; lanes; lanes &= lanes - 1) {
    const uint64_t value = waiting_lane(first, lanes).value;
    if (value) voters |= lanes & -lanes;
    all_same = all_same && value == some_value;
  }
  for (unsigned lanes = mask; lanes; lanes &= lanes - 1) {
    Waiting& lane = waiting_lane(first, lanes);
    switch (kind) {
      case Collective::kSyncwarp:
        lane.result = 0;
        break;
      case Collective::kShuffle:  // what a lane outside the mask would give is undefined: NaN, or -1
        lane.result = mask >> lane.source & 1 ? waiting_[first + lane.source].value : ~uint64_t(0);
        break;
      case Collective::kBallot:
        lane.result = voters;
        break;
      case Collective::kMatchAny:
        lane.result = 0;
        for (unsigned others = mask; others; others &= others - 1) {
          if (waiting_lane(first, others).value == lane.value) lane.result |= others & -others;
        }
        break;
      case Collective::kMatchAll:
        lane.result = all_same ? mask : 0;
        break;
    }
  }
}

void Scheduler::exit_thread(unsigned thread) {
  if (at_barrier_) {
    refuse(barrier_site_, "__syncthreads",
           "divergent barrier: this thread exits, and " + std::to_string(at_barrier_) + " of " + std::to_string(count_) +
               " wait for it there");
  }
  Warp& warp = warps_[thread / kWarpLanes];
  const unsigned first = thread - indices.lane, bit = 1u << indices.lane;
  for (unsigned lanes = warp.in_collective; lanes; lanes &= lanes - 1) {
    const Waiting& other = waiting_lane(first, lanes);
    if (other.mask & bit) {
      refuse(other.site, other.name,
             "lane " + std::to_string(indices.lane) + " exits, and lanes wait for it there: mask " + hexadecimal(other.mask) +
                 " names it");
    }
  }
  states_[thread] = State::kExited;
  warp.exited |= bit;
  if (exited_++ == 0) first_exited_ = thread;
}

void Scheduler::refuse_deadlock() const {
  std::map<std::string, unsigned> places;
  for (unsigned thread = 0; thread < count_; ++thread) {
    if (states_[thread] != State::kExited) ++places[waiting_[thread].name + (" at " + text(waiting_[thread].site))];
  }
  std::string message = "no thread can go on:";
  for (const auto& [place, threads] : places) {
    message += (message.back() == ':' ? " " : ", ") + std::to_string(threads) + " wait in " + place;
  }
  throw Refusal(message + "; block " + text(indices.block) + ", " + describe_kernel());
}

}  // namespace emulation
