// Core on vectors (the chunks of a tile, as the CPU kernels make them) against core on scalars, bit for bit. Compiled once for
// each vector width, with -ffp-contract=off: a compiler that fuses multiplications and additions may do so differently in both.
#include <cmath>
#include <vector>

#include "../../csrc/core/sample.h"
#include "../../csrc/cpu/terms.inl"
#include "checks.h"

using namespace stn;

namespace {

int64_t near_counts[5] = {};  // vectors that were met

template <typename value_t>
bool same_bits(value_t a, value_t b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// What is read and added to beside the taps of a vector of locations is in the plane; and where the taps of a box are.
template <typename index_t, typename chunk_t>
void check_neighbours(const chunk_t& chunk, int i, int64_t plane) {
  constexpr int n = kLanes<vector_of<typename chunk_t::scalar_t>>;
  const cpu::Near near = chunk.near[i / n];
  for (int tap = 0; tap + 1 < chunk.taps && near == cpu::Near::kMovable; tap += 2) {
    const cpu::MovedPair<index_t> moved(load_lanes<index_t>(&chunk.offsets[tap][i]),
                                        load_lanes<index_t>(&chunk.offsets[tap + 1][i]));
    for (int lane = 0; lane < n; ++lane) {
      CHECK(moved.offset[lane] >= 0 && moved.offset[lane] + 1 < plane, "pixel %ld of %ld", long(moved.offset[lane]),
            long(plane));
    }
  }
  for (int tap = 0; tap < chunk.taps && near == cpu::Near::kBox; ++tap) {
    for (int at = i; at < i + n; ++at) {
      CHECK(chunk.offsets[tap][at] == chunk.offsets[0][at] + chunk.from_first[tap], "tap %d is elsewhere", tap);
    }
  }
}

template <typename scalar_t, int kDims, InterpolationMode kMode, typename Pad>
void check_tiles(Random& random, PaddingMode padding) {
  using Lanes = WideLanes<scalar_t>;
  using weights_t = cpu::Joined<cpu::Values, cpu::Slopes<kDims>>;
  using stencil_t = Stencil<kDims, kMode, Pad, 1, scalar_t, int64_t>;
  using Inside = typename Pad::Inside;
  constexpr int n = kLanes<vector_of<scalar_t>>;
  const bool inside_stands =
      std::is_same<Inside, NoPadding>::value ? !Pad::kMayFill || leaves_inside(padding) : Interpolation<kMode>::kPadsCoordinate;
  static cpu::Chunk<scalar_t, typename Lanes::offset_t> chunk;
  for (const auto& convention : kCoordinateConventions) {
    for (const int count : {1, 5, 31, cpu::kTile}) {
      SampleCall call{};
      call.dims = kDims;
      pad_alike(call, padding);
      call.coordinates = convention.value;
      set_batch(call, 1);
      call.channels = 1;
      call.locations = count;
      scalar_t fill = 0;
      const bool fills = Pad::kMayFill && random.below(2);
      if (fills) call.fill.data = &fill;
      int64_t plane = random.below(4) ? 1 : 2;  // seldom with gaps, where no pixels are neighbours
      for (int e = 0; e < kDims; ++e) {
        call.size[e] = 1 + random.below(70);
        call.input.axis_stride[e] = plane;
        plane *= call.size[e];
      }
      // Few tiles of coordinates of any kind have a vector that is inside.
      const scalar_t reach = random.below(2) ? scalar_t(0) : scalar_t(random.uniform());
      std::vector<scalar_t> grid(count * kDims);
      for (scalar_t& x : grid) x = reach > 0 ? scalar_t(random.uniform() * 2 - 1) * reach : any_coordinate<scalar_t>(random);
      call.grid = {grid.data(), 0, kDims, 1};
      const SampleParams<kDims, scalar_t, int64_t> params(call);
      scalar_t coordinates[kDims][cpu::kTile] = {};
      cpu::grid_coordinates(params.source, 0, 0, count, coordinates);
      for (int first = 0; first < count; first += cpu::kChunk) {
        const int some = std::min(cpu::kChunk, count - first);
        cpu::take_chunk<Pad, kMode, Lanes>(params, call.input.axis_stride, coordinates, first, some, weights_t{}, fills, chunk);
        CHECK(chunk.taps == stencil_t::kTaps && chunk.count == some, "%d taps of %d", chunk.taps, chunk.count);
        CHECK(chunk.whole % n == 0 && chunk.whole >= some && chunk.whole < some + n, "%d for %d", chunk.whole, some);
        bool inside = true, between = true, pairs = true;  // of a vector
        for (int i = 0; i < chunk.whole; ++i) {
          scalar_t coordinate[kDims] = {};  // what a tile is filled up with
          for (int e = 0; e < kDims && i < some; ++e) coordinate[e] = grid[(first + i) * kDims + e];
          const stencil_t stencil(coordinate, params.axes);
          int64_t before = 0;
          for (int e = 0; e < kDims; ++e) between &= has_all_taps_inside<kMode, Inside>(coordinate[e], params.axes[e]);
          for (int tap = 0; tap < stencil_t::kTaps; ++tap) {
            const int64_t taken = chunk.offsets[tap][i];
            CHECK((taken >= 0) == stencil.inside(tap), "tap %d is inside in one only", tap);
            const int64_t offset = stencil.offset(tap, params.input.axis_stride);
            inside &= stencil.inside(tap);
            pairs &=
                tap % 2 == 0 ? stencil_t::kTaps > 1 : !stencil.inside(tap - 1) || !stencil.inside(tap) || offset == before + 1;
            before = offset;
            if (!stencil.inside(tap)) continue;
            CHECK(taken == offset, "offset %ld, scalar %ld", long(taken), long(offset));
            CHECK(same_bits(chunk.weight(0, tap)[i], stencil.weight(tap)), "weight of tap %d at %g", tap,
                  double(coordinate[0]));
            for (int e = 0; e < kDims; ++e) {
              CHECK(same_bits(chunk.weight(1 + e, tap)[i], stencil.derivative(tap, e)), "derivative of tap %d", tap);
            }
          }
          for (int set = 0; fills && set < 1 + kDims; ++set) {
            const scalar_t weight = set ? stencil.derivative(FillTap{}, set - 1) : stencil.weight(FillTap{});
            CHECK(same_bits(chunk.fill[set][i] + 0, weight + 0), "the fill's number %d: %g, not %g", set,
                  double(chunk.fill[set][i]), double(weight));
          }
          if (i % n < n - 1) continue;
          const bool box = inside_stands && stencil_t::kTaps <= 8 && between;
          const bool movable = pairs && call.input.axis_stride[0] == 1 && call.size[0] > 1;
          const cpu::Near near = !inside  ? (movable ? cpu::Near::kMovable : cpu::Near::kNothing)
                                 : !pairs ? cpu::Near::kInside
                                          : (box ? cpu::Near::kBox : cpu::Near::kPairs);
          CHECK(chunk.near[i / n] == near, "near %d, not %d", int(chunk.near[i / n]), int(near));
          near_counts[int(near)] += 1;
          check_neighbours<typename Lanes::index_t>(chunk, i + 1 - n, plane);
          inside = between = pairs = true;
        }
      }
    }
  }
}

}  // namespace

int main(int count, char** arguments) {  // rounds
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 20;
  Random random{1};
  for (int round = 0; round < rounds; ++round) {
    for_each_case([&](auto dims, auto mode, auto pad, PaddingMode padding) {
      check_tiles<float, decltype(dims)::value, decltype(mode)::value, decltype(pad)>(random, padding);
      check_tiles<double, decltype(dims)::value, decltype(mode)::value, decltype(pad)>(random, padding);
    });
  }
  for (const int64_t met : near_counts) CHECK(met > 50 * rounds, "a kind of vectors is seldom: %ld", long(met));
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
