// Units of work own every element once: outputs and grad_grid by LocationUnits, grad_input by InputUnits.
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/partition.h"
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
  const int64_t rows = 1 + random.below(20);
  for (int e = 0; e < call.dims; ++e) call.size[e] = e == call.dims - 1 ? rows : 1;

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

  const InputUnits parts(call);
  std::vector<int> elements(call.input_batch * call.channels * rows);
  for (int64_t unit = 0; unit < parts.count; ++unit) {
    const auto [n, first_channel, last_channel, first_row, last_row] = parts.at(unit);
    CHECK(first_channel < last_channel && first_row < last_row, "an empty unit");
    for (int64_t c = first_channel; c < last_channel; ++c) {
      for (int64_t row = first_row; row < last_row; ++row) ++elements[(n * call.channels + c) * rows + row];
    }
  }
  check_once(elements, "row of grad_input");
}

}  // namespace

int main() {
  Random random{7};
  for (int i = 0; i < 500; ++i) check_sampling(random);
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
