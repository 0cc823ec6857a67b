#pragma once
#include <algorithm>

#include "../core/call.h"
#include "../core/macros.h"

namespace stn::cpu {

// How a call is cut into units of work. Any unit may run on any thread, beside any other: no two write to the same element.
// Where sums depend on the cut, it depends on sizes alone, never on the number of threads; where they don't, it may. So the
// bits of a result depend on neither.

#if !defined(STN_SMALL_WORK)
#define STN_SMALL_WORK 32768  // tests: less
#endif
/// Up to so many locations times channels of an image's gradients are not worth a cut.
constexpr int64_t kSmallWork = STN_SMALL_WORK;

/// Locations whose coordinates are made at a time (tile.h).
constexpr int kTile = 512;

/// In bytes.
STN_HOST int64_t element_size(ScalarType dtype) {
  return dtype == ScalarType::kDouble ? 8 : dtype == ScalarType::kFloat ? 4 : 2;
}

STN_HOST int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// What owns an output (of all images), or an entry of grad_grid or a partial sum of theta's gradient (of the grid's images):
/// the tiles of every one.
struct LocationUnits {
  int64_t locations, tiles;  // an image
  int64_t count;

  STN_HOST LocationUnits(int64_t locations, int64_t images)
      : locations(locations), tiles(ceil_divide(locations, kTile)), count(images * tiles) {}

  struct Unit {
    int64_t n, location;
    int count;
  };
  STN_HOST Unit at(int64_t unit) const {
    const int64_t location = unit % tiles * kTile;
    return {unit / tiles, location, static_cast<int>(std::min<int64_t>(kTile, locations - location))};
  }
};

/// Lines that kernels take at a time.
constexpr int kMostLines = 4;

/// What lines that are packed side by side take at most, in bytes. Read, they share a core's second cache (1 MiB and more) with
/// the planes and results that go through it, and pages lie in it as chance will have it: at half a MiB, some processes read
/// half as fast as others. For gradients, to which the preparation of locations is dearer, twice as much is faster.
constexpr int64_t kMostBytesRead = 1 << 18, kMostBytesAdded = 1 << 19;

/// Lines that are packed side by side: the preparation of a location serves them all. Fewer where there would be too few
/// units, or where a pixel's lines times the pixels are more than `bytes`.
STN_HOST int lines_at_once(const SampleCall& call, int64_t lines, int64_t units, int64_t bytes) {
  constexpr int64_t kFewUnits = 16;
  const int64_t fitting = std::min(bytes / std::max<int64_t>(1, 64 * call.pixels()), units / kFewUnits);
  return static_cast<int>(std::clamp<int64_t>(std::min(fitting, lines), 1, kMostLines));
}

STN_HOST int64_t line_length(const SampleCall& call) { return computed_in(call.dtype) == ScalarType::kDouble ? 8 : 16; }

/// What owns a block of channels of an output: (n, the channels of some lines).
struct LineBlocks {
  int lines;                        // in one
  int64_t channels, block, blocks;  // of an image, of a block, of an image
  int64_t count;

  STN_HOST explicit LineBlocks(const SampleCall& call) : channels(call.channels) {
    const int64_t all = ceil_divide(channels, line_length(call));
    lines = lines_at_once(call, all, call.batch * all, kMostBytesRead);
    block = lines * line_length(call);
    blocks = ceil_divide(channels, block);
    count = call.batch * blocks;
  }

  struct Unit {
    int64_t n, c;
    int channels;
  };
  STN_HOST Unit at(int64_t unit) const {
    const int64_t c = unit % blocks * block;
    return {unit / blocks, c, static_cast<int>(std::min(block, channels - c))};
  }
};

/// What owns grad_input of a group of channels, and their part of the source's gradient: one group an image where these are
/// units enough, because parts take memory.
struct LineGroups {
  int lines;  // at once
  int64_t channels, line, all_lines, groups;
  int64_t count;

  /// in_place: a pixel's lines are side by side; parts of pixels take two to four times as long as whole ones (measured on Zen
  /// 3), so that few more units would gain.
  STN_HOST LineGroups(const SampleCall& call, bool in_place) : channels(call.channels), line(line_length(call)) {
    const int64_t few_units = in_place ? 4 : 16;
    all_lines = ceil_divide(channels, line);
    groups = std::min(all_lines, ceil_divide(few_units, std::max<int64_t>(1, call.batch)));
    lines = lines_at_once(call, all_lines / groups, INT32_MAX, kMostBytesAdded);
    count = call.batch * groups;
  }

  struct Unit {
    int64_t n, first_channel, last_channel;
  };
  STN_HOST Unit at(int64_t unit) const {
    const int64_t group = unit % groups;
    const auto channel = [&](int64_t i) { return std::min(channels, all_lines * i / groups * line); };
    return {unit / groups, channel(group), channel(group + 1)};
  }
};

/// Locations whose taps are multiplied out at a time (chunk.inl): few enough that these stay in the first cache.
constexpr int kChunk = 128;
static_assert(kTile % kChunk == 0);

/// What owns an element of grad_input: (n, group of channels). A unit walks all locations of its image and so pays for their
/// preparation: channels are cut only where threads want more units than images. Sums have the same order however it is cut.
struct InputUnits {
  int64_t channels, group, groups;  // of an image; channels in one; of an image
  int64_t count;

  STN_HOST explicit InputUnits(const SampleCall& call) : channels(call.channels) {
    constexpr int64_t kLeastChannels = 2;
    const int64_t images = std::max<int64_t>(1, call.input_batch), readers = call.batch / images;  // of each image
    const bool cut = call.threads > 1 && readers * call.locations * channels > kSmallWork;
    const int64_t wanted = cut ? ceil_divide(2 * call.threads, images) : 1;  // of an image
    group = std::max(kLeastChannels, ceil_divide(channels, wanted));
    groups = ceil_divide(channels, group);
    count = call.input_batch * groups;
  }

  struct Unit {
    int64_t n, first_channel, last_channel;  // [first, last)
  };
  STN_HOST Unit at(int64_t unit) const {
    const int64_t channel = unit % groups * group;
    return {unit / groups, channel, std::min(channels, channel + group)};
  }
};

}  // namespace stn::cpu
