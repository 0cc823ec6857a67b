#pragma once
#include "device.h"

// Barriers, shuffles, votes and matches under CUDA's names. `mask` names the lanes that take part; they meet at one place in
// the source, none of them has exited, and all give the same mask.

inline void __syncthreads(emulation::Site site = emulation::Site::here()) { emulation::barrier(site); }

inline void __syncwarp(unsigned mask = ~0u, emulation::Site site = emulation::Site::here()) {
  emulation::collective(emulation::Collective::kSyncwarp, "__syncwarp", mask, 0, 0, site);
}

/// Of memory as others see it, which needs no help here: see README.md, "What it does not model".
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulation {

/// Lanes exchange values in groups of `width`. A group's last lane is what the source is compared with.
struct ShuffleGroup {
  unsigned first, last;
  ShuffleGroup(const char* name, int width, const Site& site)
      : first(indices.lane & ~static_cast<unsigned>(width - 1)), last(first + width - 1) {
    if (width <= 0 || width > int(kWarpLanes) || (width & (width - 1))) {
      refuse(site, name, "width " + std::to_string(width) + " is no power of two up to 32");
    }
  }
};

template <typename value_t>
value_t shuffle(const char* name, unsigned mask, value_t value, unsigned source, const Site& site) {
  return from_bits<value_t>(collective(Collective::kShuffle, name, mask, to_bits(value), source, site));
}

}  // namespace emulation

template <typename value_t>
value_t __shfl_sync(unsigned mask, value_t value, int source, int width = 32, emulation::Site site = emulation::Site::here()) {
  const emulation::ShuffleGroup group("__shfl_sync", width, site);
  return emulation::shuffle("__shfl_sync", mask, value, group.first | (unsigned(source) & unsigned(width - 1)), site);
}

/// A lane whose source lies outside its group keeps its own value; the same below. Distances count modulo 32.
template <typename value_t>
value_t __shfl_up_sync(unsigned mask, value_t value, unsigned delta, int width = 32,
                       emulation::Site site = emulation::Site::here()) {
  const emulation::ShuffleGroup group("__shfl_up_sync", width, site);
  const unsigned lane = emulation::indices.lane, distance = delta % emulation::kWarpLanes;
  const unsigned source = lane >= group.first + distance ? lane - distance : lane;
  return emulation::shuffle("__shfl_up_sync", mask, value, source, site);
}

template <typename value_t>
value_t __shfl_down_sync(unsigned mask, value_t value, unsigned delta, int width = 32,
                         emulation::Site site = emulation::Site::here()) {
  const emulation::ShuffleGroup group("__shfl_down_sync", width, site);
  const unsigned lane = emulation::indices.lane, source = lane + delta % emulation::kWarpLanes;
  return emulation::shuffle("__shfl_down_sync", mask, value, source <= group.last ? source : lane, site);
}

/// Groups before its own a lane does read, groups after it not.
template <typename value_t>
value_t __shfl_xor_sync(unsigned mask, value_t value, int lane_mask, int width = 32,
                        emulation::Site site = emulation::Site::here()) {
  const emulation::ShuffleGroup group("__shfl_xor_sync", width, site);
  const unsigned lane = emulation::indices.lane, source = lane ^ (unsigned(lane_mask) % emulation::kWarpLanes);
  return emulation::shuffle("__shfl_xor_sync", mask, value, source <= group.last ? source : lane, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, emulation::Site site = emulation::Site::here()) {
  return static_cast<unsigned>(
      emulation::collective(emulation::Collective::kBallot, "__ballot_sync", mask, predicate != 0, 0, site));
}

inline int __any_sync(unsigned mask, int predicate, emulation::Site site = emulation::Site::here()) {
  return emulation::collective(emulation::Collective::kBallot, "__any_sync", mask, predicate != 0, 0, site) != 0;
}

inline int __all_sync(unsigned mask, int predicate, emulation::Site site = emulation::Site::here()) {
  return emulation::collective(emulation::Collective::kBallot, "__all_sync", mask, predicate != 0, 0, site) == mask;
}

/// The lanes whose value has the same bits.
template <typename value_t>
unsigned __match_any_sync(unsigned mask, value_t value, emulation::Site site = emulation::Site::here()) {
  return static_cast<unsigned>(
      emulation::collective(emulation::Collective::kMatchAny, "__match_any_sync", mask, emulation::to_bits(value), 0, site));
}

/// `mask` if all values have the same bits, else 0; `predicate` says which.
template <typename value_t>
unsigned __match_all_sync(unsigned mask, value_t value, int* predicate, emulation::Site site = emulation::Site::here()) {
  const uint64_t same =
      emulation::collective(emulation::Collective::kMatchAll, "__match_all_sync", mask, emulation::to_bits(value), 0, site);
  *predicate = same != 0;
  return static_cast<unsigned>(same);
}
