// Chunks of locations with lines of channels: what reading and adding them share.
#pragma once
#include "packing.inl"
#include "terms.inl"

namespace stn::cpu {
namespace {

/// The locations of a chunk, from `location` on, with the channels from c on.
struct Block {
  int64_t n, c, location;
  int channels, count;

  template <typename scalar_t>
  STN_HOST int lines() const {
    return (channels + kLine<scalar_t> - 1) / kLine<scalar_t>;
  }
  /// What is left of the channels from `channel` on, in one line.
  template <typename scalar_t>
  STN_HOST int in_line(int channel) const {
    return std::min(kLine<scalar_t>, channels - channel);
  }
};

/// Calls body(std::integral_constant<int, lines>), of 0 for those that no kernel is unrolled for.
template <int64_t kMost, typename Body>
STN_HOST void with_lines(int lines, Body&& body) {
  if constexpr (kMost > kMostLines) {
    body(std::integral_constant<int, 0>{});
  } else if (lines == 1) {
    body(std::integral_constant<int, 1>{});
  } else if (lines == 2) {
    body(std::integral_constant<int, 2>{});
  } else if (lines == 4) {
    body(std::integral_constant<int, 4>{});
  } else {
    body(std::integral_constant<int, 0>{});
  }
}

/// The channels of a reader's fill value as lines; nothing where it has none.
template <typename scalar_t>
struct FillLines {
  alignas(64) scalar_t at[kMostLines][kLine<scalar_t>];

  template <typename reader_t>
  FillLines(const reader_t* reader, const Block& block) {
    if (!reader || !reader->fill.data) return;
    std::memset(at, 0, sizeof at);
    for (int k = 0; k < block.channels; ++k)
      at[k / kLine<scalar_t>][k % kLine<scalar_t>] = reader->fill.at(block.n, block.c + k);
  }
};

/// Some taps of a location, from `tap` on: copies, which stores of lines can't change.
template <int kCount, typename chunk_t>
struct TapsOf {
  typename chunk_t::offset_t offset[kCount];
  typename chunk_t::scalar_t weight[kCount];

  STN_HOST TapsOf(const chunk_t& chunk, int i, int tap) {
    STN_UNROLL
    for (int t = 0; t < kCount; ++t) {
      offset[t] = chunk.offsets[tap + t][i];
      weight[t] = chunk.weight(0, tap + t)[i];
    }
  }
};

/// Whether location i has so many taps as kernels take at once, and all of them inside.
template <int kTaps, typename chunk_t>
STN_HOST bool has_taps_at_once(const chunk_t& chunk, int i) {
  if constexpr (kTaps < 2) return false;
  auto signs = chunk.offsets[0][i];
  STN_UNROLL
  for (int tap = 1; tap < kTaps; ++tap) signs |= chunk.offsets[tap][i];
  return signs >= 0;
}

const ImageArray kNoImage;

template <typename reader_t>
const ImageArray& image_of(const reader_t* reader) {
  return reader ? reader->image : kNoImage;
}

}  // namespace
}  // namespace stn::cpu
