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

  /// What is left of the channels from `channel` on, in one line.
  template <typename scalar_t>
  STN_HOST int in_line(int channel) const {
    return std::min(kLine<scalar_t>, channels - channel);
  }
};

/// A line for each location of a chunk.
template <typename scalar_t>
struct alignas(64) ChunkLines {
  scalar_t at[kChunk][kLine<scalar_t>];
};

/// The channels of a reader's fill value as lines; zeros where it has none.
template <typename scalar_t>
struct FillLines {
  alignas(64) scalar_t at[kMostLines][kLine<scalar_t>] = {};

  template <typename reader_t>
  FillLines(const reader_t* reader, const Block& block) {
    if (!reader || !reader->fill.data) return;
    for (int k = 0; k < block.channels; ++k)
      at[k / kLine<scalar_t>][k % kLine<scalar_t>] = reader->fill.at(block.n, block.c + k);
  }
};

/// body(tap, offset) for the taps of location i that are inside.
template <int kTaps, typename chunk_t, typename Body>
STN_HOST void for_each_tap_inside(const chunk_t& chunk, int i, bool all, Body&& body) {
  if (all) {  // without branches
    repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) { body(tap, chunk.offsets[tap][i]); });
  } else {
    repeat<0>(chunk.taps, [&](int tap) __attribute__((always_inline)) {
      if (chunk.offsets[tap][i] >= 0) body(tap, chunk.offsets[tap][i]);
    });
  }
}

template <int kTaps, typename chunk_t>
STN_HOST bool is_inside(const chunk_t& chunk, int i) {
  auto signs = chunk.offsets[0][i];
  repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) { signs |= chunk.offsets[tap][i]; });
  return signs >= 0;
}

const ImageArray kNoImage;

template <typename reader_t>
const ImageArray& image_of(const reader_t* reader) {
  return reader ? reader->image : kNoImage;
}

}  // namespace
}  // namespace stn::cpu
