// Core on vectors (a tile, as the CPU kernels prepare it) against core on scalars, bit for bit. Compiled once for each vector
// width, with -ffp-contract=off: a compiler that fuses multiplications and additions may do so differently in both.
#include <cmath>
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/core/sample.h"
#include "../../csrc/cpu/tile.h"
#include "checks.h"

using namespace stn;

namespace {

template <typename value_t>
bool same_bits(value_t a, value_t b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

template <typename scalar_t, int kDims, InterpolationMode kMode, typename Pad>
void check_tiles(Random& random, PaddingMode padding) {
  using offset_t = typename WideLanes<scalar_t>::offset_t;
  static cpu::Tile<kDims, kMode, 1, scalar_t, offset_t> tile;
  for (const auto& convention : kCoordinateConventions) {
    for (const int count : {1, 5, 31, cpu::kTile}) {
      SampleCall call{};
      call.dims = kDims;
      pad_alike(call, padding);
      call.coordinates = convention.value;
      set_batch(call, 1);
      call.channels = 1;
      call.locations = count;
      int64_t plane = 1;
      for (int e = 0; e < kDims; ++e) {
        call.size[e] = 1 + random.below(70);
        call.input.axis_stride[e] = plane;
        plane *= call.size[e];
      }
      std::vector<scalar_t> grid(count * kDims);
      for (scalar_t& x : grid) x = any_coordinate<scalar_t>(random);
      call.grid = {grid.data(), 0, kDims, 1};
      const SampleParams<kDims, scalar_t, int64_t> params(call);
      scalar_t coordinates[kDims][cpu::kTile] = {};
      cpu::grid_coordinates(params.source, 0, 0, count, coordinates);
      cpu::prepare<Pad, WideLanes<scalar_t>>(params, params.input.axis_stride, coordinates, count, tile);
      for (int i = 0; i < count; ++i) {
        const auto stencil = stencil_at<kMode, Pad, 1>(params, Visit<int64_t>{0, i, 0, 1});
        for (int tap = 0; tap < stencil.kTaps; ++tap) {
          CHECK((tile.offset(tap, i) >= 0) == stencil.inside(tap), "tap %d is inside in one only", tap);
          if (!stencil.inside(tap)) continue;
          const int64_t offset = stencil.offset(tap, params.input.axis_stride);
          CHECK(tile.offset(tap, i) == offset, "offset %ld, scalar %ld", long(tile.offset(tap, i)), long(offset));
          CHECK(same_bits(tile.weight(tap, i), stencil.weight(tap)), "weight of tap %d at %g", tap, double(grid[i * kDims]));
          for (int e = 0; e < kDims; ++e) {
            CHECK(same_bits(tile.derivative(tap, e, i), stencil.derivative(tap, e)), "derivative of tap %d", tap);
          }
        }
      }
    }
  }
}

}  // namespace

int main() {
  Random random{1};
  for (int round = 0; round < 20; ++round) {
    for_each_case([&](auto dims, auto mode, auto pad, PaddingMode padding) {
      check_tiles<float, decltype(dims)::value, decltype(mode)::value, decltype(pad)>(random, padding);
      check_tiles<double, decltype(dims)::value, decltype(mode)::value, decltype(pad)>(random, padding);
    });
  }
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
