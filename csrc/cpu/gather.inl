// Reading and adding in planes, for a chunk of locations.
#pragma once
#include "chunk.inl"

namespace stn::cpu {
namespace {

template <typename storage_t, typename vector_t, typename offset_t, int... kLane>
STN_HOST vector_t gather_lanes(const storage_t* plane, const offset_t* offset, std::integer_sequence<int, kLane...>) {
  if constexpr (sizeof(storage_t) == 2) {
    return widen_lanes<storage_t>(Int32Vector{plane[offset[kLane]].bits...});
  } else {
    return vector_t{plane[offset[kLane]]...};
  }
}

/// The pixels that a vector of locations has at one tap; offsets are not negative.
template <typename storage_t, typename offset_t>
STN_HOST auto load_pixels(const storage_t* plane, const offset_t* offset) {
  using vector_t = vector_of<accumulate_t<storage_t>>;
  return gather_lanes<storage_t, vector_t>(plane, offset, std::make_integer_sequence<int, kLanes<vector_t>>());
}

/// ... at two taps, which are neighbours in memory.
template <typename vector_t>
struct Pair {
  vector_t first, second;
};

/// Where pair k of a register of pairs comes from, so that shuffles within 16 bytes put them in order: 0 1 4 5, 2 3 6 7.
constexpr int pair_order(int k, int half) { return k / 2 * 4 + k % 2 + 2 * half; }

template <int... kPair, int... kLane>
STN_HOST Pair<FloatVector> load_float_pairs(const float* plane, const int32_t* offset, std::integer_sequence<int, kPair...>,
                                            std::integer_sequence<int, kLane...>) {
  constexpr int n = sizeof...(kLane);
  const Int32Vector even = {(kLane / 4 * 4 + kLane % 2 * 2 + kLane % 4 / 2 * n)...};
  const Int32Vector odd = {(kLane / 4 * 4 + kLane % 2 * 2 + kLane % 4 / 2 * n + 1)...};
  const auto two = [&](int k) {  // moved only, never computed with
    double bits;
    std::memcpy(&bits, plane + offset[k], sizeof bits);
    return bits;
  };
  const auto low = (FloatVector)DoubleVector{two(pair_order(kPair, 0))...};
  const auto high = (FloatVector)DoubleVector{two(pair_order(kPair, 1))...};
  return {__builtin_shuffle(low, high, even), __builtin_shuffle(low, high, odd)};
}

template <typename storage_t, int... kLane>
STN_HOST Pair<FloatVector> load_short_pairs(const storage_t* plane, const int32_t* offset,
                                            std::integer_sequence<int, kLane...>) {
  const auto two = [&](int k) {
    int32_t bits;
    std::memcpy(&bits, plane + offset[k], sizeof bits);
    return bits;
  };
  const Int32Vector bits = {two(kLane)...};
  return {widen_lanes<storage_t>(bits & 0xffff), widen_lanes<storage_t>((bits >> 16) & 0xffff)};
}

template <typename storage_t, typename offset_t>
STN_HOST auto load_pairs(const storage_t* plane, const offset_t* offset) {
  constexpr int n = kLanes<vector_of<accumulate_t<storage_t>>>;
  if constexpr (std::is_same<storage_t, float>::value) {
    return load_float_pairs(plane, offset, std::make_integer_sequence<int, n / 2>(), std::make_integer_sequence<int, n>());
  } else if constexpr (sizeof(storage_t) == 2) {
    return load_short_pairs(plane, offset, std::make_integer_sequence<int, n>());
  } else {
    return Pair<DoubleVector>{load_pixels(plane, offset), load_pixels(plane + 1, offset)};
  }
}

/// The pixels of a tap that is outside for some of the locations: 0 there, and not read.
template <typename storage_t, typename offset_t>
STN_HOST auto load_pixels_inside(const storage_t* plane, const offset_t* offset) {
  using scalar_t = accumulate_t<storage_t>;
  using index_t = typename Vectors<scalar_t>::index_t;
  const auto at = load_lanes<index_t>(offset);
  alignas(64) offset_t readable[kLanes<vector_of<scalar_t>>];
  store_lanes(readable, select(at < 0, 0, at));
  asm volatile("" ::"r"(readable) : "memory");  // or g++ takes the offsets out of the register, one by one
  return select(at < 0, scalar_t(0), load_pixels(plane, readable));
}

/// sum[set] = (kAdds: +=) the plane's pixels at the taps, weighed by set first + set. Whole vectors.
template <int kTaps, bool kAdds, int kSets, typename chunk_t, typename storage_t>
void gather_vectors(const chunk_t& chunk, int first, const storage_t* plane, typename chunk_t::scalar_t* const (&sum)[kSets]) {
  using scalar_t = typename chunk_t::scalar_t;
  using value_t = vector_of<scalar_t>;
  constexpr int n = kLanes<value_t>;
  // Copies, which the stores below can't change: they stay in registers.
  const int taps = kTaps > 0 ? kTaps : chunk.taps, count = chunk.count;
  scalar_t* to[kSets];
  for (int set = 0; set < kSets; ++set) to[set] = sum[set];
  for (int i = 0; i < count; i += n) {
    value_t total[kSets];
    STN_UNROLL
    for (int set = 0; set < kSets; ++set) total[set] = kAdds ? load_lanes<value_t>(&to[set][i]) : value_t{};
    const auto add = [&](int tap, value_t pixels) __attribute__((always_inline)) {
      STN_UNROLL
      for (int set = 0; set < kSets; ++set)
        total[set] += load_lanes<value_t>(&chunk.weight(first + set, tap, taps)[i]) * pixels;
    };
    if (chunk.near[i / n] == Near::kPairs) {
      repeat<kTaps / 2>(taps / 2, [&](int pair) __attribute__((always_inline)) {
        const auto pixels = load_pairs(plane, &chunk.offsets[2 * pair][i]);
        add(2 * pair, pixels.first);
        add(2 * pair + 1, pixels.second);
      });
    } else if (chunk.near[i / n] == Near::kInside) {
      repeat<kTaps == 1>(taps,
                         [&](int tap) __attribute__((always_inline)) { add(tap, load_pixels(plane, &chunk.offsets[tap][i])); });
    } else {
      STN_ROLL
      for (int tap = 0; tap < taps; ++tap) add(tap, load_pixels_inside(plane, &chunk.offsets[tap][i]));
    }
    STN_UNROLL
    for (int set = 0; set < kSets; ++set) store_lanes(&to[set][i], total[set]);
  }
}

/// ... one location at a time, for planes of any extent.
template <bool kAdds, int kSets, typename chunk_t, typename storage_t>
void gather_singly(const chunk_t& chunk, int first, const storage_t* plane, typename chunk_t::scalar_t* const (&sum)[kSets]) {
  for (int i = 0; i < chunk.count; ++i) {
    for (int set = 0; !kAdds && set < kSets; ++set) sum[set][i] = 0;
    for (int tap = 0; tap < chunk.taps; ++tap) {
      if (chunk.offsets[tap][i] < 0) continue;
      const auto pixel = widen(plane[chunk.offsets[tap][i]]);
      for (int set = 0; set < kSets; ++set) sum[set][i] += chunk.weight(first + set, tap)[i] * pixel;
    }
  }
}

/// sum[set] = (kAdds: +=) what a channel has at the taps, weighed by set first + set.
template <bool kAdds, int kSets, typename chunk_t>
void gather(const chunk_t& chunk, int first, const Rows& channel, typename chunk_t::scalar_t* const (&sum)[kSets]) {
  with_storage<typename chunk_t::scalar_t>(channel.dtype, [&](auto zero) {
    const auto* plane = channel.row<const decltype(zero)>(0);
    if constexpr (chunk_t::kIsWide) {
      with_taps(chunk.taps, [&](auto taps) { gather_vectors<decltype(taps)::value, kAdds>(chunk, first, plane, sum); });
    } else {
      gather_singly<kAdds>(chunk, first, plane, sum);
    }
  });
}

/// a[0] b[0] a[1] b[1] ...
template <typename scalar_t, int... kLane>
STN_HOST void store_in_turn(vector_of<scalar_t> a, vector_of<scalar_t> b, scalar_t* to, std::integer_sequence<int, kLane...>) {
  constexpr int n = sizeof...(kLane);
  const typename Vectors<scalar_t>::index_t low = {(kLane / 2 + kLane % 2 * n)...};
  const typename Vectors<scalar_t>::index_t high = {(n / 2 + kLane / 2 + kLane % 2 * n)...};
  store_lanes(to, __builtin_shuffle(a, b, low));
  store_lanes(to + n, __builtin_shuffle(a, b, high));
}

/// plane += value times set 0's weights at the taps inside. Not in the order of locations: pixels that neighbours share would
/// wait for each other.
template <typename chunk_t>
class Scatter {
  using scalar_t = typename chunk_t::scalar_t;
  typedef scalar_t two_t __attribute__((vector_size(2 * sizeof(scalar_t))));
  static constexpr int kApart = 8;

 public:
  const chunk_t& chunk;

  void add(const Row<scalar_t>& value, scalar_t* plane) const {
    int tap = 0;
    if constexpr (chunk_t::kIsWide) {
      for (; tap + 1 < chunk.taps; tap += 2) add_pair(value, tap, plane);
    }
    for (; tap < chunk.taps; ++tap) add_tap(value, tap, plane);
  }

 private:
  STN_HOST void add_inside(int tap, int i, scalar_t product, scalar_t* plane) const {
    const auto offset = chunk.offsets[tap][i];
    if (offset >= 0) plane[offset] += product;
  }

  STN_HOST void add_tap(const Row<scalar_t>& value, int tap, scalar_t* plane) const {
    alignas(64) Row<scalar_t> product;
    const auto& weight = chunk.weight(0, tap);
    for (int i = 0; i < chunk.whole; ++i) product[i] = value[i] * weight[i];
    for (int start = 0; start < kApart; ++start) {
      for (int i = start; i < chunk.count; i += kApart) add_inside(tap, i, product[i], plane);
    }
  }

  /// The taps tap and tap + 1, by one addition where they are side by side. The same order however they are.
  STN_HOST void add_pair(const Row<scalar_t>& value, int tap, scalar_t* plane) const {
    using value_t = vector_of<scalar_t>;
    constexpr int n = kLanes<value_t>;
    alignas(64) scalar_t product[kChunk][2];
    for (int i = 0; i < chunk.whole; i += n) {
      const auto v = load_lanes<value_t>(&value[i]);
      store_in_turn<scalar_t>(v * load_lanes<value_t>(&chunk.weight(0, tap)[i]),
                              v * load_lanes<value_t>(&chunk.weight(0, tap + 1)[i]), product[i],
                              std::make_integer_sequence<int, n>());
    }
    for (int start = 0; start < kApart; ++start) {
      for (int i = start; i < chunk.count; i += kApart) {
        if (chunk.near[i / n] == Near::kPairs) {
          scalar_t* at = plane + chunk.offsets[tap][i];
          two_t sum, more;
          std::memcpy(&sum, at, sizeof sum);
          std::memcpy(&more, product[i], sizeof more);
          sum += more;
          std::memcpy(at, &sum, sizeof sum);
        } else {
          add_inside(tap, i, product[i][0], plane);
          add_inside(tap + 1, i, product[i][1], plane);
        }
      }
    }
  }
};

}  // namespace
}  // namespace stn::cpu
