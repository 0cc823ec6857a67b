#pragma once
#include "../core/bins.h"
#include "../core/dispatch.h"
#include "mapping.h"
#include "sort.h"

// How the locations of a call are sorted by the pixels they add to: sizes, and where things stand in call.scratch.

namespace stn::cuda {

/// The images that grad_input has: a location of image n adds to image n % images_of(call).
inline int64_t images_of(const SampleCall& call) { return call.input_batch; }

/// How many bins the locations of a call have.
inline int64_t bins_of(const SampleCall& call) {
  int64_t bins = images_of(call);
  dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
    for (int e = 0; e < call.dims; ++e) bins *= call.size[e] + Bins<decltype(mode)::value, 1>::kReach;
  });
  return bins;
}

/// As largest_index, for a call whose locations are sorted.
inline int64_t largest_sorted_index(const SampleCall& call) { return std::max(largest_index(call), bins_of(call)); }

/// The sort of a call that wants grad_input alone: 16 bytes a location (32 where indices have 64 bits), and what a sort wants.
template <typename index_t>
struct LocationSort {
  using key_t = typename SortedPairs<index_t>::key_t;

  index_t count;
  int bits = 0;
  std::size_t temporary_bytes = 0;

  /// `error` is a cudaError_t as int.
  LocationSort(const SampleCall& call, int& error) : count(static_cast<index_t>(call.batch * call.locations)) {
    for (int64_t largest = bins_of(call); largest > 0; largest /= 2) ++bits;  // the key of locations without a pixel
    error = sort_temporary_bytes(count, bits, temporary_bytes);
  }

  /// How long scratch memory has to be.
  int64_t bytes() const { return static_cast<int64_t>(arrays_at() + 4 * sizeof(index_t) * count); }

  SortedPairs<index_t> pairs(void* scratch) const {
    auto* keys = reinterpret_cast<key_t*>(static_cast<unsigned char*>(scratch) + arrays_at());
    auto* values = reinterpret_cast<index_t*>(keys + 2 * count);
    return {{keys, keys + count}, {values, values + count}};
  }

  int sort(SortedPairs<index_t>& pairs, void* scratch, void* stream) const {
    return sort_pairs(pairs, count, bits, scratch, temporary_bytes, stream);
  }

 private:
  /// Behind the sort's own memory; CUDA's arrays begin at multiples of 256 bytes, too.
  std::size_t arrays_at() const { return (temporary_bytes + 255) / 256 * 256; }
};

}  // namespace stn::cuda
