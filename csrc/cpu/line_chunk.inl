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
template <typename Body>
STN_HOST void with_lines(int lines, Body&& body) {
  if (lines == 1) {
    body(std::integral_constant<int, 1>{});
  } else if (lines == 2) {
    body(std::integral_constant<int, 2>{});
  } else if (lines == 4) {
    body(std::integral_constant<int, 4>{});
  } else {
    body(std::integral_constant<int, 0>{});
  }
}

/// A line for each location of a chunk.
template <typename scalar_t>
struct alignas(64) ChunkLines {
  scalar_t at[kChunk][kLine<scalar_t>];
};

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

/// body(tap, offset) for the taps of location i that are inside.
template <int kTaps, typename chunk_t, typename Body>
STN_HOST void for_each_tap_inside(const chunk_t& chunk, int i, Body&& body) {
  repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) {
    const auto offset = chunk.offsets[tap][i];
    if (offset >= 0) body(tap, offset);
  });
}

const ImageArray kNoImage;

template <typename reader_t>
const ImageArray& image_of(const reader_t* reader) {
  return reader ? reader->image : kNoImage;
}

}  // namespace
}  // namespace stn::cpu
