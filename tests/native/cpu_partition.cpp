// Units of work own every element once: outputs and grad_grid by LocationUnits, LineBlocks and LocationParts, grad_input by
// InputUnits and LineGroups.
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/parts.h"
#include "checks.h"

using namespace stn;
using namespace stn::cpu;

namespace {

void check_once(const std::vector<int>& owners, const char* what) {
  for (size_t i = 0; i < owners.size(); ++i) CHECK(owners[i] == 1, "%s %ld is owned %d times", what, long(i), owners[i]);
}

void check_sampling(Random& random) {
  SampleCall call{};
  call.dims = 2 + static_cast<int>(random.below(2));
  set_batch(call, random.below(4));
  if (call.batch > 0 && random.below(3) == 0) call.input_batch = 1;
  if (call.batch > 0 && random.below(3) == 0) call.grid_batch = 1;
  call.channels = 1 + random.below(random.below(2) ? 300 : 5);
  call.locations = 1 + random.below(random.below(2) ? 40000 : 600);
  for (int e = 0; e < call.dims; ++e) call.size[e] = 1 + random.below(20);

  for (const int64_t images : {call.batch, call.grid_batch}) {
    const LocationUnits tiles(call.locations, images);
    std::vector<int> locations(images * call.locations);
    for (int64_t unit = 0; unit < tiles.count; ++unit) {
      const auto [n, location, count] = tiles.at(unit);
      CHECK(count > 0 && count <= kTile, "a tile of %d", count);
      for (int i = 0; i < count; ++i) ++locations[n * call.locations + location + i];
    }
    check_once(locations, "location");
  }

  const int64_t threads[] = {1, 2, 3, 8, 64};
  call.threads = threads[random.below(5)];
  const InputUnits units(call);
  std::vector<int> planes(call.input_batch * call.channels);
  for (int64_t unit = 0; unit < units.count; ++unit) {
    const auto [n, first_channel, last_channel] = units.at(unit);
    CHECK(first_channel < last_channel, "an empty unit");
    for (int64_t c = first_channel; c < last_channel; ++c) ++planes[n * call.channels + c];
  }
  check_once(planes, "plane of grad_input");

  const LocationParts parts(call);
  CHECK(parts.parts >= 1 && parts.count <= std::max(call.threads, call.batch), "%ld parts", long(parts.parts));
  CHECK(parts.parts == 1 || call.input_batch == call.batch, "%ld parts of an image that a batch shares", long(parts.parts));
  CHECK(parts.first_tile(0) == 0 && parts.first_tile(parts.parts) == parts.tiles, "a tile is left out");
  for (int64_t part = 0; part < parts.parts; ++part) {
    CHECK(parts.first_tile(part) < parts.first_tile(part + 1), "an empty part");
  }
}

/// A call whose images are read as lines: every image is its own.
SampleCall call_of_lines(Random& random) {
  SampleCall call{};
  const ScalarType types[] = {ScalarType::kHalf, ScalarType::kBFloat16, ScalarType::kFloat, ScalarType::kDouble};
  call.dtype = types[random.below(4)];
  call.dims = 1 + static_cast<int>(random.below(kMaxDims));
  set_batch(call, random.below(random.below(2) ? 40 : 4));
  call.channels = random.below(8) ? 1 + random.below(random.below(2) ? 600 : 40) : 8 * (1 + random.below(40));
  call.locations = 1 + random.below(1000);
  for (int e = 0; e < call.dims; ++e) call.size[e] = 1 + random.below(random.below(2) ? 300 : 9);
  return call;
}

bool starts_a_line(const SampleCall& call, int64_t channel) { return channel % line_length(call) == 0; }

void check_lines(Random& random) {
  const SampleCall call = call_of_lines(random);
  int64_t pixels = 1;
  for (int e = 0; e < call.dims; ++e) pixels *= call.size[e];
  SampleCall other = call;  // what the cuts may not depend on
  other.input.data = other.grad_input.data = other.grad_grid.data = &other;
  other.input.channel_stride = other.grad_input.axis_stride[0] = 1 + random.below(100);
  other.locations = 1 + random.below(1000);

  const LineBlocks blocks(call), other_blocks(other);
  CHECK(blocks.lines >= 1 && blocks.lines <= kMostLines, "%d lines", blocks.lines);
  CHECK(blocks.lines == 1 || blocks.lines * pixels * 64 <= int64_t(1) << 18, "%d lines of %ld pixels", blocks.lines,
        long(pixels));
  CHECK(blocks.lines == other_blocks.lines && blocks.count == other_blocks.count, "other blocks for other strides");
  std::vector<int> owners(call.batch * call.channels);
  for (int64_t unit = 0; unit < blocks.count; ++unit) {
    const auto [n, c, channels] = blocks.at(unit);
    CHECK(channels > 0 && channels <= blocks.lines * line_length(call), "%d channels in %d lines", channels, blocks.lines);
    CHECK(n < call.batch && c + channels <= call.channels && starts_a_line(call, c), "channels from %ld on", long(c));
    for (int k = 0; k < channels; ++k) ++owners[n * call.channels + c + k];
  }
  check_once(owners, "channel of an output");

  const bool in_place = random.below(2) == 1;
  const LineGroups groups(call, in_place), other_groups(other, in_place);
  CHECK(groups.lines >= 1 && groups.lines <= kMostLines, "%d lines", groups.lines);
  CHECK(groups.lines == 1 || groups.lines * pixels * 64 <= int64_t(1) << 19, "%d lines of %ld pixels", groups.lines,
        long(pixels));
  CHECK(groups.lines == other_groups.lines && groups.count == other_groups.count, "other groups for other strides");
  CHECK(call.batch < (in_place ? 4 : 16) || groups.groups == 1, "%ld groups, and as many parts", long(groups.groups));
  owners.assign(owners.size(), 0);
  for (int64_t unit = 0; unit < groups.count; ++unit) {
    const auto [n, first, last] = groups.at(unit);
    CHECK(n == unit / groups.groups && n < call.batch && first < last && last <= call.channels, "channels [%ld, %ld)",
          long(first), long(last));
    CHECK(starts_a_line(call, first) && (last == call.channels || starts_a_line(call, last)), "a line of two groups at %ld",
          long(last));
    for (int64_t c = first; c < last; ++c) ++owners[n * call.channels + c];
  }
  check_once(owners, "channel of grad_input");
}

}  // namespace

int main() {
  Random random{7};
  for (int i = 0; i < 500; ++i) check_sampling(random);
  for (int i = 0; i < 2000; ++i) check_lines(random);
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
