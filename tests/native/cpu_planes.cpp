// Reading and adding in planes (csrc/cpu/gather.inl, dots.inl, scatter.inl), and 16 bits as vectors (stored.h), against plain
// loops. Compiled as wide_core.cpp is: a fused multiplication would round once where a loop rounds twice.
#include <cmath>
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/dots.inl"
#include "../../csrc/cpu/scatter.inl"
#include "numbers.h"

using namespace stn;
using namespace stn::cpu;

namespace {

/// A chunk of made-up taps: vector by vector of one kind.
template <typename scalar_t>
struct Taps {
  using chunk_t = Chunk<scalar_t, typename WideLanes<scalar_t>::offset_t>;
  static constexpr int n = kLanes<vector_of<scalar_t>>;

  int64_t pixels;
  chunk_t chunk;

  Taps(Random& random, int taps, int count, int64_t pixels) : pixels(pixels) {
    std::memset(static_cast<void*>(&chunk), 0, sizeof chunk);
    chunk.taps = taps, chunk.count = count, chunk.whole = (count + n - 1) / n * n;
    // Chunks of one kind of vectors and chunks of all kinds.
    const int kinds = taps > 1 ? 5 : 2, least = random.below(2) ? 0 : static_cast<int>(random.below(kinds));
    const int64_t last_of_box = random.below(pixels - 1);
    for (int tap = 0; tap < taps; tap += 2) {
      chunk.from_first[tap] = static_cast<offset_t>(tap ? random.below(last_of_box + 1) : 0);
      chunk.from_first[tap + 1] = chunk.from_first[tap] + 1;
    }
    for (int i = 0; i < chunk.whole; i += n) {
      const Near near = Near(least + random.below(kinds - least));
      chunk.near[i / n] = near;
      for (int at = i; at < i + n; ++at) {
        for (int tap = 0; tap < taps; tap += 2) {
          if (near == Near::kBox) {
            const int64_t first = tap ? chunk.offsets[0][at] : random.below(pixels - 1 - last_of_box);
            set_pair(at, tap, first + chunk.from_first[tap], first + chunk.from_first[tap] + 1);
          } else if (near == Near::kPairs || near == Near::kMovable) {
            const int64_t first = random.below(pixels - 1);
            const int64_t out = near == Near::kMovable ? random.below(4) : 0;  // bit k: tap k of the pair
            set_pair(at, tap, out & 1 ? anywhere_outside(random) : first + (out >> 1),
                     out & 2 ? anywhere_outside(random) : first + !(out & 1));
          } else {
            const auto any = [&] {
              return near == Near::kNothing && !random.below(3) ? anywhere_outside(random) : random.below(pixels);
            };
            const int64_t first = any();
            set_pair(at, tap, first, any());
          }
        }
        for (int set = 0; set < kMostSets; ++set) {
          for (int tap = 0; tap < taps; ++tap) chunk.weight(set, tap, taps)[at] = any_number<scalar_t>(random);
        }
      }
    }
  }

 private:
  using offset_t = typename chunk_t::offset_t;

  static int64_t anywhere_outside(Random& random) { return -1 - random.below(9); }

  void set_pair(int at, int tap, int64_t first, int64_t second) {
    chunk.offsets[tap][at] = static_cast<offset_t>(first);
    if (tap + 1 < chunk.taps) chunk.offsets[tap + 1][at] = static_cast<offset_t>(second);
  }
};

const int kTapsOfModes[] = {1, 2, 4, 8, 16, 64};

template <typename storage_t>
std::vector<storage_t> any_plane(Random& random, int64_t pixels) {
  std::vector<storage_t> plane(pixels);  // a read outside would be noticed by AddressSanitizer, and mostly in the sum
  for (storage_t& pixel : plane) pixel = any_pixel<storage_t>(random);
  return plane;
}

/// As many channels as are read at a time, each with its plane, `apart` pixels behind the one before.
template <typename storage_t>
Rows channels_of(std::vector<storage_t>& planes, int64_t apart) {
  return {reinterpret_cast<char*>(planes.data()), kTypeOf<storage_t>, apart, 1};
}

/// sums = or += the taps' pixels, weighed by set 0. The rows of channels that are not asked for stay.
template <bool kAdds, typename storage_t>
void check_gather(Random& random, int taps, int count) {
  using scalar_t = accumulate_t<storage_t>;
  const Taps<scalar_t> made(random, taps, count, 2 + random.below(200));
  const auto& chunk = made.chunk;
  const int channels = 1 + static_cast<int>(random.below(kMostPlanes));
  std::vector<storage_t> planes = any_plane<storage_t>(random, made.pixels * channels);
  alignas(64) PlaneRows<scalar_t> sums;
  PlaneRows<scalar_t> expected;
  for (int k = 0; k < kMostPlanes; ++k) {
    for (int i = 0; i < kChunk; ++i) {
      expected[k][i] = sums[k][i] = any_number<scalar_t>(random);
      if (k >= channels || i >= count) continue;
      if (!kAdds) expected[k][i] = 0;
      for (int tap = 0; tap < taps; ++tap) {
        const int64_t offset = chunk.offsets[tap][i];
        if (offset >= 0) expected[k][i] += chunk.weight(0, tap)[i] * widen(planes[k * made.pixels + offset]);
      }
    }
  }
  gather<kAdds>(chunk, channels_of(planes, made.pixels), channels, {sums[0], kChunk});
  for (int k = 0; k < kMostPlanes; ++k) {
    for (int i = 0; i < (k < channels ? count : kChunk); ++i) {
      CHECK(sums[k][i] == expected[k][i], "channel %d of %d, location %d, %d taps, near %d: %.9g, not %.9g", k, channels, i,
            taps, int(chunk.near[i / made.n]), double(sums[k][i]), double(expected[k][i]));
    }
  }
}

/// sum += what is weighed of grad_output times the taps' pixels. Where nothing is inside, grad_output is infinite, and what is
/// outside weighs infinitely much. kReads: and what gather() reads is read beside that.
template <bool kReads, typename storage_t>
void check_dots(Random& random, int taps, int count) {
  using scalar_t = accumulate_t<storage_t>;
  Taps<scalar_t> made(random, taps, count, 2 + random.below(200));
  const int set = kReads + static_cast<int>(random.below(kMostSets - kReads));
  for (int tap = 0; tap < taps; ++tap) {
    for (int i = 0; i < count; ++i) {
      if (made.chunk.offsets[tap][i] < 0) made.chunk.weight(set, tap, taps)[i] = scalar_t(INFINITY);
    }
  }
  const auto& chunk = made.chunk;
  Dots<typename Taps<scalar_t>::chunk_t> dots;
  std::vector<scalar_t> expected(taps * kChunk);
  int channels = 0;
  for (int block = 0; block < 2; ++block) {
    const int some = 1 + static_cast<int>(random.below(kMostPlanes));
    channels += some;
    std::vector<storage_t> planes = any_plane<storage_t>(random, made.pixels * some);
    alignas(64) PlaneRows<scalar_t> values = {}, reads;
    PlaneRows<scalar_t> expected_reads;
    for (int k = 0; k < some; ++k) {
      for (int i = 0; i < count; ++i) {
        bool has_taps = false;
        for (int tap = 0; tap < taps; ++tap) has_taps |= chunk.offsets[tap][i] >= 0;
        values[k][i] = has_taps ? any_number<scalar_t>(random) : scalar_t(INFINITY);
        for (int tap = 0; tap < taps; ++tap) {
          const int64_t offset = chunk.offsets[tap][i];
          if (offset >= 0) expected[tap * kChunk + i] += values[k][i] * widen(planes[k * made.pixels + offset]);
        }
      }
      for (int i = 0; i < kChunk; ++i) reads[k][i] = expected_reads[k][i] = any_number<scalar_t>(random);
    }
    const Rows rows = channels_of(planes, made.pixels);
    dots.template take<kReads>(chunk, rows, some, {values[0], kChunk}, {reads[0], kChunk}, block > 0);
    if (kReads) gather<true>(chunk, rows, some, {expected_reads[0], kChunk});
    for (int k = 0; k < some; ++k) {
      for (int i = 0; i < count; ++i) {
        CHECK(reads[k][i] == expected_reads[k][i], "channel %d, location %d, read: %g", k, i, double(reads[k][i]));
      }
    }
  }
  alignas(64) Row<scalar_t> sum;
  Row<scalar_t> before;
  for (int i = 0; i < kChunk; ++i) sum[i] = before[i] = any_number<scalar_t>(random);
  dots.weigh(chunk, set, sum);
  for (int i = 0; i < count; ++i) {
    scalar_t total = before[i];
    for (int tap = 0; tap < taps; ++tap) {
      if (chunk.offsets[tap][i] >= 0) total += chunk.weight(set, tap)[i] * expected[tap * kChunk + i];
    }
    CHECK(sum[i] == total, "location %d, %d taps, %d channels, near %d: %.9g, not %.9g", i, taps, channels,
          int(chunk.near[i / made.n]), double(sum[i]), double(total));
  }
}

template <typename storage_t>
void check_reading(Random& random) {
  for (const int taps : kTapsOfModes) {
    for (int count = 1; count <= kChunk; ++count) {
      for (int repeat = 0; repeat < 2; ++repeat) {
        check_gather<false, storage_t>(random, taps, count);
        check_gather<true, storage_t>(random, taps, count);
        check_dots<false, storage_t>(random, taps, count);
        check_dots<true, storage_t>(random, taps, count);
      }
    }
  }
}

/// Values and weights are small integers, whose sums are the same in any order.
template <typename scalar_t>
void check_scatter(Random& random) {
  for (const int taps : kTapsOfModes) {
    for (int count = 1; count <= kChunk; ++count) {
      for (int repeat = 0; repeat < 2; ++repeat) {
        Taps<scalar_t> made(random, taps, count, 2 + random.below(200));
        auto& chunk = made.chunk;
        const int channels = 1 + static_cast<int>(random.below(kMostPlanes));
        alignas(64) PlaneRows<scalar_t> values = {};
        for (int tap = 0; tap < taps; ++tap) {
          for (int i = 0; i < chunk.whole; ++i) chunk.weight(0, tap, taps)[i] = any_pixel<scalar_t>(random);
        }
        std::vector<scalar_t> planes(made.pixels * channels), expected;
        for (scalar_t& pixel : planes) pixel = any_pixel<scalar_t>(random);
        expected = planes;
        for (int k = 0; k < channels; ++k) {
          for (int i = 0; i < count; ++i) {
            values[k][i] = any_pixel<scalar_t>(random);
            for (int tap = 0; tap < taps; ++tap) {
              const auto offset = chunk.offsets[tap][i];
              if (offset >= 0) expected[k * made.pixels + offset] += values[k][i] * chunk.weight(0, tap)[i];
            }
          }
        }
        using chunk_t = typename Taps<scalar_t>::chunk_t;
        Scatter<chunk_t>{chunk}.add({values[0], kChunk}, channels, {planes.data(), made.pixels});
        for (int64_t at = 0; at < made.pixels * channels; ++at) {
          CHECK(planes[at] == expected[at], "pixel %ld of %d planes of %ld, %d taps: %g, not %g", long(at), channels,
                long(made.pixels), taps, double(planes[at]), double(expected[at]));
        }
      }
    }
  }
}

/// What a fill value of whatever kind adds: nothing where it weighs nothing.
template <typename scalar_t>
void check_fill(Random& random) {
  Taps<scalar_t> made(random, 1, kChunk, 2);
  for (const scalar_t value : {scalar_t(1.5), scalar_t(INFINITY), scalar_t(NAN)}) {
    alignas(64) Row<scalar_t> sum, weighed, grad;
    Row<scalar_t> expected, expected_weighed;
    for (int i = 0; i < kChunk; ++i) {
      const scalar_t weight = made.chunk.fill[0][i] = random.below(2) ? any_number<scalar_t>(random) : scalar_t(0);
      const scalar_t slope = made.chunk.fill[2][i] = random.below(2) ? any_number<scalar_t>(random) : scalar_t(0);
      sum[i] = expected[i] = any_number<scalar_t>(random);
      weighed[i] = expected_weighed[i] = any_number<scalar_t>(random);
      grad[i] = any_number<scalar_t>(random);
      if (weight != 0) expected[i] += weight * value;
      if (slope != 0) expected_weighed[i] += slope * (grad[i] * value + grad[i] * scalar_t(0.5));
    }
    made.chunk.add_fill(value, sum);
    Dots<typename Taps<scalar_t>::chunk_t> dots;
    dots.take_fill(made.chunk, value, grad, false);
    dots.take_fill(made.chunk, scalar_t(0.5), grad, true);
    dots.weigh_fill(made.chunk, 2, weighed);
    for (int i = 0; i < kChunk; ++i) {
      CHECK(same(sum[i], expected[i]), "location %d: %g", i, double(sum[i]));
      CHECK(same(weighed[i], expected_weighed[i]), "location %d, weighed: %g", i, double(weighed[i]));
    }
  }
}

template <typename storage_t>
void check_widening() {
  constexpr int n = kLanes<FloatVector>;
  for (int bits = 0; bits < 1 << 16; bits += n) {
    Int32Vector patterns;
    for (int lane = 0; lane < n; ++lane) patterns[lane] = bits + lane;
    const FloatVector wide = widen_lanes<storage_t>(patterns);
    for (int lane = 0; lane < n; ++lane) {
      const float one = widen(storage_t{static_cast<uint16_t>(bits + lane)}), each = wide[lane];
      CHECK(std::memcmp(&one, &each, sizeof one) == 0, "%x is %a and not %a", bits + lane, double(each), double(one));
    }
  }
}

template <typename scalar_t>
void check_scalar(Random& random) {
  check_reading<scalar_t>(random);
  check_scatter<scalar_t>(random);
  check_fill<scalar_t>(random);
}

}  // namespace

int main() {
  Random random{11};
  check_scalar<float>(random);
  check_scalar<double>(random);
  check_reading<Half>(random);
  check_reading<BFloat16>(random);
  check_widening<Half>();
  check_widening<BFloat16>();
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
