// Lines of channels (csrc/cpu/line.h, packing.inl) against plain loops. Compiled as wide_core.cpp is: a fused multiplication
// would round once where a loop rounds twice.
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/packing.inl"
#include "numbers.h"

using namespace stn;
using namespace stn::cpu;

namespace {

template <typename scalar_t>
void check_transposition(Random& random) {
  constexpr int n = Line<scalar_t>::kVectorLanes, kLength = kLine<scalar_t>;
  vector_of<scalar_t> rows[n];
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < n; ++k) rows[i][k] = scalar_t(i * n + k);
  }
  transpose<scalar_t>(rows);
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < n; ++k) CHECK(rows[i][k] == scalar_t(k * n + i), "lane %d of row %d: %g", k, i, double(rows[i][k]));
  }
  scalar_t expected[n] = {};
  for (int i = 0; i < n; ++i) {  // small integers, whose sums are the same in any order
    for (int k = 0; k < n; ++k) expected[i] += rows[i][k] = scalar_t(random.below(99));
  }
  const vector_of<scalar_t> sums = sum_lanes<scalar_t>(rows);
  for (int i = 0; i < n; ++i)
    CHECK(sums[i] == expected[i], "sum of row %d: %g, not %g", i, double(sums[i]), double(expected[i]));
  for (int count = n; count <= kRun; count += n) {
    const int64_t stride = count + random.below(5), step = kLength + random.below(3) * kLength;
    const scalar_t mark = 77777;
    std::vector<scalar_t> from(kLength * stride), lines(count * step, mark), back(from.size(), mark);
    for (scalar_t& x : from) x = any_number<scalar_t>(random);
    transpose_rows(from.data(), stride, count, lines.data(), step, 0);
    transpose_lines(lines.data(), step, count, back.data(), stride);
    for (int i = 0; i < count; ++i) {
      for (int k = 0; k < step; ++k) {
        const scalar_t expected = k < kLength ? from[k * stride + i] : mark;
        CHECK(lines[i * step + k] == expected, "channel %d of line %d of %d", k, i, count);
      }
    }
    for (int k = 0; k < kLength; ++k) {
      for (int i = 0; i < stride; ++i) {
        const scalar_t expected = i < count ? from[k * stride + i] : mark;
        CHECK(back[k * stride + i] == expected, "element %d of row %d, there and back", i, k);
      }
    }
  }
}

/// How far apart elements are: of one channel, and of one pixel.
struct Apart {
  int64_t stride, channel_stride;
};

template <typename storage_t>
void check_packing(Random& random, int channels, int count, const Apart& apart, bool streams) {
  using scalar_t = accumulate_t<storage_t>;
  constexpr int kLength = kLine<scalar_t>;
  const scalar_t mark = 77;
  const int64_t step = kLength * (1 + random.below(2));
  const int64_t elements = (channels - 1) * apart.channel_stride + (count - 1) * apart.stride + 1;
  // Nothing beyond `to` may be touched. It is aligned as torch's memory is, which streaming wants.
  std::vector<storage_t> from(elements), memory(elements + 64 / sizeof(storage_t), narrow<storage_t>(mark));
  storage_t* to = memory.data();
  while (reinterpret_cast<uintptr_t>(to) % 64 != 0) ++to;
  for (storage_t& x : from) x = any_pixel<storage_t>(random);
  const auto rows_at = [&](storage_t* data) {
    return Rows{reinterpret_cast<char*>(data), kTypeOf<storage_t>, apart.channel_stride, apart.stride};
  };
  std::vector<scalar_t> lines((count - 1) * step + kLength, mark);
  rows_to_lines(rows_at(from.data()), channels, count, lines.data(), step);
  for (int64_t at = 0; at < int64_t(lines.size()); ++at) {
    const int64_t i = at / step, k = at % step;
    const scalar_t pixel = k < channels ? widen(from[k * apart.channel_stride + i * apart.stride]) : scalar_t(0);
    const scalar_t expected = k < kLength ? pixel : mark;
    CHECK(same(lines[at], expected), "channel %ld of line %ld, of %d and %d: %g, not %g", long(k), long(i), channels, count,
          double(lines[at]), double(expected));
  }
  lines_to_rows(lines.data(), step, count, rows_at(to), channels, streams);
  stream_fence();
  std::vector<storage_t> expected(elements, narrow<storage_t>(mark));
  for (int k = 0; k < channels; ++k) {
    for (int i = 0; i < count; ++i) {
      const int64_t at = k * apart.channel_stride + i * apart.stride;
      expected[at] = from[at];
    }
  }
  for (int64_t at = 0; at < elements; ++at) {
    CHECK(same(widen(to[at]), widen(expected[at])), "element %ld of %d channels and %d: %g, not %g", long(at), channels, count,
          double(widen(to[at])), double(widen(expected[at])));
  }
}

template <typename storage_t>
void check_packing(Random& random) {
  constexpr int kLength = kLine<accumulate_t<storage_t>>;
  for (int count = 1; count <= kRun; ++count) {
    for (int channels = 1; channels <= kLength; ++channels) {
      for (const bool streams : {false, true}) {
        check_packing<storage_t>(random, channels, count, {1, count + random.below(3)}, streams);        // contiguous
        check_packing<storage_t>(random, channels, count, {1, (count + 15) / 16 * 16}, streams);         // and aligned
        check_packing<storage_t>(random, channels, count, {2, 2 * count + 1}, streams);                  // every second one
        check_packing<storage_t>(random, channels, count, {channels + random.below(20), 1}, streams);    // channels last
        check_packing<storage_t>(random, channels, count, {count == 1 ? 1 : channels * 3, 3}, streams);  // every third of them
      }
    }
  }
}

}  // namespace

int main() {
  Random random{11};
  check_transposition<float>(random);
  check_transposition<double>(random);
  check_packing<float>(random);
  check_packing<double>(random);
  check_packing<Half>(random);
  check_packing<BFloat16>(random);
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
