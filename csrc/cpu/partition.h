#pragma once
#include <algorithm>

#include "../core/call.h"
#include "../core/macros.h"

namespace stn::cpu {

// How a call is cut into units of work. Any unit may run on any thread, beside any other: no two write to the same element.
// The cut depends on sizes alone, never on the number of threads, and within a unit every sum runs in the order of
// locations, so the bits of a result depend on neither.

/// Locations that a kernel prepares at a time (tile.h).
constexpr int kTile = 512;

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

/// What owns an element of grad_input: (n, group of channels, band of rows), where a row is an index of the slowest axis.
/// A unit walks all locations of its image and so pays for their preparation: no more groups than make enough units, and
/// rows are cut only where there are too few groups.
struct InputUnits {
  int64_t channels, rows;  // an image
  int64_t group, groups;   // channels in one; of an image
  int64_t band, bands;     // rows in one; of a group
  int64_t count;

  STN_HOST explicit InputUnits(const SampleCall& call) : channels(call.channels), rows(call.size[call.dims - 1]) {
    constexpr int64_t kLeastChannels = 4, kManyPlanes = 64, kFewUnits = 16, kMostBands = 4, kSmallWork = 32768;
    group = std::max(kLeastChannels, ceil_divide(call.input_batch * channels, kManyPlanes));
    groups = ceil_divide(channels, group);
    const int64_t units = call.input_batch * groups;
    const int64_t readers = call.batch / std::max<int64_t>(1, call.input_batch);  // of each image
    const bool cut = units > 0 && units < kFewUnits && readers * call.locations * channels > kSmallWork;
    band = cut ? ceil_divide(rows, std::min(kMostBands, ceil_divide(kFewUnits, units))) : rows;
    bands = ceil_divide(rows, band);
    count = units * bands;
  }

  struct Unit {
    int64_t n;
    int64_t first_channel, last_channel;  // [first, last)
    int64_t first_row, last_row;
  };
  STN_HOST Unit at(int64_t unit) const {
    const int64_t row = unit % bands * band, channel = unit / bands % groups * group;
    return {unit / bands / groups, channel, std::min(channels, channel + group), row, std::min(rows, row + band)};
  }
};

}  // namespace stn::cpu
