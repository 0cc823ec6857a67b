// One image's gradient by parts of its locations (csrc/cpu/parts.h): whoever adds to an element, its sum has the order of
// locations, and no two parts add to it at a time. Compiled as wide_core.cpp is.
#include <cmath>
#include <memory>
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/ownership.inl"
#include "../../csrc/cpu/scatter.inl"
#include "checks.h"

using namespace stn;
using namespace stn::cpu;

namespace {

/// The taps of all chunks of an image's locations, and what parts make of them.
template <typename scalar_t>
class Walk {
  using chunk_t = Chunk<scalar_t, typename WideLanes<scalar_t>::offset_t>;
  using offset_t = typename chunk_t::offset_t;
  static constexpr int kChunks = kTile / kChunk;  // of a tile

 public:
  Walk(Random& random, bool scattered) : random_(random) {
    call_.dims = 2;
    call_.dtype = std::is_same<scalar_t, double>::value ? ScalarType::kDouble : ScalarType::kFloat;
    set_batch(call_, 1);
    call_.channels = 64;
    call_.locations = 600 + random.below(4000);
    call_.threads = 2 + random.below(6);
    call_.size[0] = 1 + random.below(200), call_.size[1] = 1 + random.below(60);
    call_.grad_input.axis_stride[0] = 1, call_.grad_input.axis_stride[1] = call_.size[0];
    make_taps(scattered);
  }

  /// Returns whether parts were worth it.
  bool check() {
    const LocationParts parts(call_);
    std::vector<CellRange> memory(static_cast<size_t>(parts.bytes()) / sizeof(CellRange));
    call_.scratch = memory.data();
    CHECK(parts.parts > 1 && parts.parts <= call_.threads, "%ld parts", long(parts.parts));
    for (int64_t tile = 0; tile < parts.tiles; ++tile) parts.ranges(call_, 0)[tile] = range_of(parts, tile);
    parts.dispute(call_);
    for (int64_t part = 0; part < parts.parts; ++part) {
      std::fill_n(parts.marks(call_, 0, part), parts.cells, uint8_t(0));
      each_chunk(parts, part, [&](int64_t tile, int k) {
        if (parts.disputed(call_, 0)[tile]) mark_cells(chunk(tile, k), parts.marks(call_, 0, part));
      });
    }
    const bool is_worth_it = parts.settle(call_);
    std::vector<int64_t> adder(elements_, -1);                                // the part that adds at first
    std::vector<std::vector<int64_t>> order(elements_), expected(elements_);  // chunks, for each element
    for (int64_t part = 0; part < parts.parts; ++part) {
      each_chunk(parts, part, [&](int64_t tile, int k) {
        for_each_offset(chunk(tile, k), [&](int64_t at) { expected[at].push_back(tile * kChunks + k); });
        uint8_t* shared = parts.shared(call_, 0) + tile * kChunks;
        shared[k] = 0;
        const auto which = parts.disputed(call_, 0)[tile] ? Taken::kOwn : Taken::kAll;
        const Taken taken{which, parts.owners(call_, 0), part, shared};
        chunk_t mine = chunk(tile, k);
        if (!taken.takes_all(mine, k)) taken.leave_out_others(mine);
        for_each_written(mine, [&](int64_t at) {
          CHECK(adder[at] == -1 || adder[at] == part, "parts %ld and %ld add to %ld", long(adder[at]), long(part), long(at));
          adder[at] = part;
        });
        for_each_offset(mine, [&](int64_t at) { order[at].push_back(tile * kChunks + k); });
      });
    }
    for (int64_t part = 0; part < parts.parts; ++part) {
      each_chunk(parts, part, [&](int64_t tile, int k) {
        if (!parts.shared(call_, 0)[tile * kChunks + k]) return;
        chunk_t rest = chunk(tile, k);
        const Taken taken{Taken::kRest, parts.owners(call_, 0), part, nullptr};
        CHECK(!taken.takes_all(rest, k), "all of a chunk is left");
        taken.leave_out_others(rest);
        for_each_offset(rest, [&](int64_t at) { order[at].push_back(tile * kChunks + k); });
      });
    }
    for (int64_t at = 0; at < elements_; ++at)
      CHECK(order[at] == expected[at], "element %ld of %ld", long(at), long(elements_));
    return is_worth_it;
  }

 private:
  /// Bilinear's: of locations that go down the image row by row, slantwise and shaken, or anywhere.
  void make_taps(bool scattered) {
    elements_ = call_.size[0] * call_.size[1];
    const int64_t width = call_.size[0], height = call_.size[1], chunks = LocationParts(call_).tiles * kChunks;
    const int64_t slant = random_.below(4);
    for (int64_t number = 0; number < chunks; ++number) {
      auto made = std::make_unique<chunk_t>();
      made->taps = 4;
      made->count = static_cast<int>(std::clamp<int64_t>(call_.locations - number * kChunk, 0, kChunk));
      made->whole = kChunk;
      for (Near& near : made->near) near = width > 1 ? Near::kMovable : Near::kNothing;
      for (int i = 0; i < kChunk; ++i) {
        const int64_t location = number * kChunk + i, down = location * height / call_.locations;
        const int64_t x = scattered ? random_.below(width) : location % width;
        const int64_t y = scattered ? random_.below(height) : down + x * slant / 16 + random_.below(3) - 1;
        for (int tap = 0; tap < 4; ++tap) {
          const int64_t column = x + tap % 2, row = y + tap / 2;
          const bool inside = column < width && row >= 0 && row < height;
          made->offsets[tap][i] = static_cast<offset_t>(inside ? row * width + column : -1 - random_.below(99));
          made->weight(0, tap, 4)[i] = 1;
        }
      }
      chunks_.push_back(std::move(made));
    }
  }

  const chunk_t& chunk(int64_t tile, int k) const { return *chunks_[static_cast<size_t>(tile * kChunks + k)]; }

  CellRange range_of(const LocationParts& parts, int64_t tile) const {
    int64_t first = call_.size[1] - 1, last = 0;
    for (int k = 0; k < kChunks; ++k) {
      for_each_offset(chunk(tile, k), [&](int64_t at) {
        first = std::min(first, at / call_.size[0]), last = std::max(last, at / call_.size[0]);
      });
    }
    return parts.of_rows(call_, first, last);
  }

  template <typename Body>
  void each_chunk(const LocationParts& parts, int64_t part, Body&& body) const {
    for (int64_t tile = parts.first_tile(part); tile < parts.first_tile(part + 1); ++tile) {
      for (int k = 0; k < kChunks; ++k) body(tile, k);
    }
  }

  template <typename Body>
  static void for_each_offset(const chunk_t& chunk, Body&& body) {
    for (int i = 0; i < chunk.count; ++i) {
      for (int tap = 0; tap < chunk.taps; ++tap) {
        if (chunk.offsets[tap][i] >= 0) body(chunk.offsets[tap][i]);
      }
    }
  }

  /// body(element) for those that the scatter writes to, if it adds nothing but 0: it makes 0 of -0.
  template <typename Body>
  void for_each_written(const chunk_t& chunk, Body&& body) const {
    alignas(64) Row<scalar_t> zeros = {};
    std::vector<scalar_t> plane(elements_, scalar_t(-0.0));
    Scatter<chunk_t>{chunk}.add({zeros, 0}, 1, {plane.data(), 0});
    for (int64_t at = 0; at < elements_; ++at) {
      if (!std::signbit(plane[at])) body(at);
    }
  }

  Random& random_;
  SampleCall call_{};
  int64_t elements_ = 0;
  std::vector<std::unique_ptr<chunk_t>> chunks_;
};

template <typename scalar_t>
void check_walks(Random& random) {
  int worth_it = 0, not_worth_it = 0;
  for (int i = 0; i < 150; ++i) {
    const bool scattered = i % 4 == 0;
    ++(Walk<scalar_t>(random, scattered).check() ? worth_it : not_worth_it);
  }
  CHECK(worth_it > 20 && not_worth_it > 20, "%d were worth it, %d were not", worth_it, not_worth_it);
}

}  // namespace

int main() {
  Random random{13};
  check_walks<float>(random);
  check_walks<double>(random);
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
