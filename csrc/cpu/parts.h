#pragma once
#include <cstring>

#include "partition.h"

namespace stn::cpu {

// The gradient of one image by several threads. Each takes a part of the locations and adds to grad_input where no earlier part
// does; what that leaves, beside the cuts, is added afterwards. So every pixel's sum has the order of locations, as by one
// thread, and there are no partial sums. Three passes find out who adds where, of cells and not of pixels, and of few of them:
// the rows that a tile reads, which is quick; whether those are disputed; and only for such a tile the cells that its taps are
// in.

/// Elements of a plane, one behind the other, are a cell.
constexpr int kCellBits = 6;

/// From the first one to the last one.
struct CellRange {
  int64_t first, last;

  STN_HOST bool meets(const CellRange& other) const { return first <= other.last && other.first <= last; }
  STN_HOST void widen(const CellRange& other) { first = std::min(first, other.first), last = std::max(last, other.last); }
};

/// A unit is (n, part of the image's locations). There is one part where images are units enough, where all of it is little
/// work, and of an image that a batch shares, whose readers are all over it.
struct LocationParts {
  int64_t tiles, parts;  // of an image
  int64_t cells;         // of a plane
  int64_t count;

  STN_HOST explicit LocationParts(const SampleCall& call) : tiles(ceil_divide(call.locations, kTile)), batch_(call.batch) {
    const bool cut = call.input_batch == call.batch && call.locations * call.channels > kSmallWork;
    parts = cut ? std::clamp(call.threads / std::max<int64_t>(1, batch_), int64_t(1), std::min(tiles, kMostParts)) : 1;
    int64_t last = 0;  // element of a plane
    for (int e = 0; e < call.dims; ++e) last += (call.size[e] - 1) * call.grad_input.axis_stride[e];
    cells = (last >> kCellBits) + 1;
    count = batch_ * parts;
  }

  struct Unit {
    int64_t n, part;
  };
  STN_HOST Unit at(int64_t unit) const { return {unit / parts, unit % parts}; }

  STN_HOST int64_t first_tile(int64_t part) const { return tiles * part / parts; }

  /// The cells of rows first to last, where a row is an index of the slowest axis.
  STN_HOST CellRange of_rows(const SampleCall& call, int64_t first, int64_t last) const {
    const int64_t stride = call.grad_input.axis_stride[call.dims - 1];
    if (call.size[call.dims - 1] == 1) return {0, cells - 1};
    return {first * stride >> kCellBits, std::min(cells - 1, ((last + 1) * stride - 1) >> kCellBits)};
  }

  // At call.scratch, for each image:

  STN_HOST int64_t bytes() const { return batch_ * bytes_of_image(); }
  /// Where a tile may have taps.
  STN_HOST CellRange* ranges(const SampleCall& call, int64_t n) const { return reinterpret_cast<CellRange*>(at(call, n, 0)); }
  /// 1 for the tiles that may have taps where other parts have some.
  STN_HOST uint8_t* disputed(const SampleCall& call, int64_t n) const { return at(call, n, kBytesOfTile); }
  /// 1 for the chunks of those that have taps in cells of earlier parts. kTile / kChunk for each tile.
  STN_HOST uint8_t* shared(const SampleCall& call, int64_t n) const { return at(call, n, kBytesOfTile + 1); }
  /// 1 for the cells in which a part's disputed tiles have taps.
  STN_HOST uint8_t* marks(const SampleCall& call, int64_t n, int64_t part) const {
    return at(call, n, kBytesOfTile + 1 + kTile / kChunk) + part * cells;
  }
  /// The first part that has taps in a cell, where that is disputed.
  STN_HOST uint8_t* owners(const SampleCall& call, int64_t n) const { return marks(call, n, parts); }

  /// Writes `disputed` from `ranges`.
  STN_HOST void dispute(const SampleCall& call) const {
    for (int64_t n = 0; n < batch_; ++n) {
      const CellRange* range = ranges(call, n);
      CellRange all[kMostParts];  // of a part
      for (int64_t part = 0; part < parts; ++part) {
        all[part] = range[first_tile(part)];
        for (int64_t tile = first_tile(part); tile < first_tile(part + 1); ++tile) all[part].widen(range[tile]);
      }
      for (int64_t part = 0; part < parts; ++part) {
        for (int64_t tile = first_tile(part); tile < first_tile(part + 1); ++tile) {
          bool meets = false;
          for (int64_t other = 0; other < parts; ++other) meets = meets || (other != part && range[tile].meets(all[other]));
          disputed(call, n)[tile] = meets;
        }
      }
    }
  }

  /// Writes `owners` from `marks`. Whether parts have so few cells in common that they are worth it.
  STN_HOST bool settle(const SampleCall& call) const {
    constexpr int64_t kFew = 4;
    int64_t marked = 0, owned = 0, tiles_disputed = 0;
    for (int64_t n = 0; n < batch_; ++n) {
      uint8_t* owner = owners(call, n);
      std::memset(owner, static_cast<int>(parts), static_cast<size_t>(cells));  // nobody
      for (int64_t part = parts; part-- > 0;) {
        const uint8_t* mark = marks(call, n, part);
        for (int64_t cell = 0; cell < cells; ++cell) {
          marked += mark[cell];
          owner[cell] = mark[cell] ? static_cast<uint8_t>(part) : owner[cell];
        }
      }
      for (int64_t cell = 0; cell < cells; ++cell) owned += owner[cell] < parts;
      for (int64_t tile = 0; tile < tiles; ++tile) tiles_disputed += disputed(call, n)[tile];
    }
    const double in_common = double(marked - owned) / double(std::max<int64_t>(1, marked));
    return kFew * in_common * double(tiles_disputed) <= double(batch_ * tiles);
  }

 private:
  static constexpr int64_t kMostParts = 64, kBytesOfTile = sizeof(CellRange);

  STN_HOST int64_t bytes_of_image() const {
    const int64_t bytes = tiles * (kBytesOfTile + 1 + kTile / kChunk) + (parts + 1) * cells;
    return ceil_divide(bytes, kBytesOfTile) * kBytesOfTile;  // so that the next image's ranges are aligned
  }
  /// Behind arrays that have so many bytes a tile.
  STN_HOST uint8_t* at(const SampleCall& call, int64_t n, int64_t bytes_of_tile) const {
    return static_cast<uint8_t*>(call.scratch) + n * bytes_of_image() + tiles * bytes_of_tile;
  }

  int64_t batch_;
};

}  // namespace stn::cpu
