// The cells that a chunk has taps in, for parts of locations that add to one image; see parts.h.
#pragma once
#include "chunk.inl"
#include "parts.h"

namespace stn::cpu {
namespace {

/// body(cell) for the taps inside, until it returns false. A vector's locations are mostly in one cell, and then it is called
/// once for them.
template <typename chunk_t, typename Body>
STN_HOST void for_each_cell(const chunk_t& chunk, Body&& body) {
  using index_t = typename Vectors<typename chunk_t::scalar_t>::index_t;
  constexpr int n = chunk_t::kIsWide ? kLanes<vector_of<typename chunk_t::scalar_t>> : 1;
  for (int tap = 0; tap < chunk.taps; ++tap) {
    const auto& offsets = chunk.offsets[tap];
    for (int start = 0; start < chunk.count; start += n) {
      if constexpr (chunk_t::kIsWide) {
        const auto cells = load_lanes<index_t>(&offsets[start]) >> kCellBits;
        if (start + n <= chunk.count && !any_bit(cells != cells[0])) {
          if (cells[0] >= 0 && !body(cells[0])) return;
          continue;
        }
      }
      for (int i = start; i < std::min(start + n, chunk.count); ++i) {
        if (offsets[i] >= 0 && !body(offsets[i] >> kCellBits)) return;
      }
    }
  }
}

template <typename chunk_t>
void mark_cells(const chunk_t& chunk, uint8_t* marks) {
  for_each_cell(chunk, [&](auto cell) __attribute__((always_inline)) {
    marks[cell] = 1;
    return true;
  });
}

template <typename chunk_t>
bool is_owner_of_all(const chunk_t& chunk, const uint8_t* owners, int64_t part) {
  bool all = true;
  for_each_cell(chunk, [&](auto cell) __attribute__((always_inline)) { return all = owners[cell] == part; });
  return all;
}

/// Has nothing added but at taps: not the zeros of MovedPair.
template <typename chunk_t>
void keep_to_taps(chunk_t& chunk) {
  for (Near& near : chunk.near) near = near == Near::kMovable ? Near::kNothing : near;
}

/// Makes taps outside: those in cells of others, or else those in its own.
template <typename chunk_t>
void leave_out(chunk_t& chunk, const uint8_t* owners, int64_t part, bool others) {
  for (int tap = 0; tap < chunk.taps; ++tap) {
    for (int i = 0; i < chunk.count; ++i) {
      auto& offset = chunk.offsets[tap][i];
      if (offset >= 0 && (owners[offset >> kCellBits] != part) == others) offset = -1;
    }
  }
  if constexpr (chunk_t::kIsWide) std::fill(std::begin(chunk.near), std::end(chunk.near), Near::kNothing);
}

/// Which of a chunk's taps may be added to grad_input: all, or those of a part whose cells it owns, or what that leaves out.
struct Taken {
  enum Which { kAll, kOwn, kRest };
  Which which = kAll;
  const uint8_t* owners = nullptr;  // of cells; nullptr where nobody else adds to the image
  int64_t part = 0;
  uint8_t* shared = nullptr;  // of the tile's chunks

  /// Whether all taps of the tile's chunk of this number are. Notes for who adds the rest that they aren't.
  template <typename chunk_t>
  bool takes_all(chunk_t& chunk, int number) const {
    if (!owners) return true;
    if (which == kRest) return false;
    const bool all = which == kAll || is_owner_of_all(chunk, owners, part);
    if (which == kOwn) shared[number] = !all;
    if (all) keep_to_taps(chunk);  // others may be adding beside them
    return all;
  }

  /// Leaves those that are, where not all are.
  template <typename chunk_t>
  void leave_out_others(chunk_t& chunk) const {
    leave_out(chunk, owners, part, which == kOwn);
  }
};

}  // namespace
}  // namespace stn::cpu
