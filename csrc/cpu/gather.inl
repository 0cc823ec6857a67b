// Reading in planes, for a chunk of locations.
#pragma once
#include "chunk.inl"

namespace stn::cpu {
namespace {

template <typename storage_t, typename vector_t, typename offsets_t, int... kLane>
STN_HOST vector_t gather_lanes(const storage_t* plane, const offsets_t& offset, std::integer_sequence<int, kLane...>) {
  if constexpr (sizeof(storage_t) == 2) {
    return widen_lanes<storage_t>(Int32Vector{plane[offset[kLane]].bits...});
  } else {
    return vector_t{plane[offset[kLane]]...};
  }
}

/// The pixels that a vector of locations has at one tap. Offsets, a pointer or LaneOffsets, are not negative.
template <typename storage_t, typename offsets_t>
STN_HOST auto load_pixels(const storage_t* plane, const offsets_t& offset) {
  using vector_t = vector_of<accumulate_t<storage_t>>;
  return gather_lanes<storage_t, vector_t>(plane, offset, std::make_integer_sequence<int, kLanes<vector_t>>());
}

/// Where pair k of a register of pairs comes from, so that shuffles within 16 bytes put them in order: 0 1 4 5, 2 3 6 7.
constexpr int pair_order(int k, int half) { return k / 2 * 4 + k % 2 + 2 * half; }

template <typename offsets_t, int... kPair, int... kLane>
STN_HOST Pair<FloatVector> load_float_pairs(const float* plane, const offsets_t& offset, std::integer_sequence<int, kPair...>,
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

template <typename storage_t, typename offsets_t, int... kLane>
STN_HOST Pair<FloatVector> load_short_pairs(const storage_t* plane, const offsets_t& offset,
                                            std::integer_sequence<int, kLane...>) {
  const auto two = [&](int k) {
    int32_t bits;
    std::memcpy(&bits, plane + offset[k], sizeof bits);
    return bits;
  };
  const Int32Vector bits = {two(kLane)...};
  return {widen_lanes<storage_t>(bits & 0xffff), widen_lanes<storage_t>((bits >> 16) & 0xffff)};
}

/// ... at two taps, which are neighbours in memory.
template <typename storage_t, typename offsets_t>
STN_HOST auto load_pairs(const storage_t* plane, const offsets_t& offset) {
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
  return select(at < 0, scalar_t(0), load_pixels(plane, &readable[0]));
}

/// The offsets of a vector of locations, kept in registers: where the same ones are used again after a store.
template <typename scalar_t>
class LaneOffsets {
 public:
  template <typename offset_t>
  STN_HOST explicit LaneOffsets(const offset_t* offset) {
    STN_UNROLL
    for (int k = 0; k < kLanes<vector_of<scalar_t>>; ++k) offset_[k] = offset[k];
  }
  STN_HOST int64_t operator[](int k) const { return offset_[k]; }

 private:
  int64_t offset_[kLanes<vector_of<scalar_t>>];
};

/// body(tap, the pixels that a vector of locations has there) for the plane's taps at the chunk's i-th locations. Where a tap
/// is outside, the pixel is 0.
template <int kTaps, typename chunk_t, typename storage_t, typename Body>
STN_HOST void for_each_pixels(const chunk_t& chunk, int taps, int i, const storage_t* plane, Body&& body) {
  using scalar_t = typename chunk_t::scalar_t;
  using value_t = vector_of<scalar_t>;
  using index_t = typename Vectors<scalar_t>::index_t;
  const Near near = chunk.near[i / kLanes<value_t>];
  const auto each_pair = [&](auto&& pixels_of) __attribute__((always_inline)) {
    repeat<kTaps / 2>(taps / 2, [&](int pair) __attribute__((always_inline)) {
      const auto pixels = pixels_of(2 * pair);
      body(2 * pair, pixels.first);
      body(2 * pair + 1, pixels.second);
    });
  };
  if (near == Near::kBox) {
    const LaneOffsets<scalar_t> first(&chunk.offsets[0][i]);
    each_pair([&](int tap) __attribute__((always_inline)) { return load_pairs(plane + chunk.from_first[tap], first); });
  } else if (near == Near::kPairs) {
    each_pair([&](int tap) __attribute__((always_inline)) { return load_pairs(plane, &chunk.offsets[tap][i]); });
  } else if (near == Near::kMovable) {
    each_pair([&](int tap) __attribute__((always_inline)) {
      const MovedPair<index_t> moved(load_lanes<index_t>(&chunk.offsets[tap][i]),
                                     load_lanes<index_t>(&chunk.offsets[tap + 1][i]));
      alignas(64) typename chunk_t::offset_t offset[kLanes<value_t>];
      store_lanes(offset, moved.offset);
      asm volatile("" ::"r"(offset) : "memory");  // as above
      return moved.of_taps(load_pairs(plane, &offset[0]));
    });
  } else if (near == Near::kInside) {
    repeat<kTaps == 1>(taps,
                       [&](int tap) __attribute__((always_inline)) { body(tap, load_pixels(plane, &chunk.offsets[tap][i])); });
  } else {
    STN_ROLL
    for (int tap = 0; tap < taps; ++tap) body(tap, load_pixels_inside(plane, &chunk.offsets[tap][i]));
  }
}

/// sum = (kAdds: +=) the plane's pixels at the taps, weighed by set 0. Whole vectors.
template <int kTaps, bool kAdds, typename chunk_t, typename storage_t>
void gather_vectors(const chunk_t& chunk, const storage_t* plane, typename chunk_t::scalar_t* sum) {
  using value_t = vector_of<typename chunk_t::scalar_t>;
  // Copies, which the stores below can't change: they stay in registers.
  const int taps = kTaps > 0 ? kTaps : chunk.taps, count = chunk.count;
  for (int i = 0; i < count; i += kLanes<value_t>) {
    value_t total = kAdds ? load_lanes<value_t>(&sum[i]) : value_t{};
    for_each_pixels<kTaps>(chunk, taps, i, plane, [&](int tap, value_t pixels) __attribute__((always_inline)) {
      total += load_lanes<value_t>(&chunk.weight(0, tap, taps)[i]) * pixels;
    });
    store_lanes(&sum[i], total);
  }
}

/// ... one location at a time, for planes of any extent.
template <bool kAdds, typename chunk_t, typename storage_t>
void gather_singly(const chunk_t& chunk, const storage_t* plane, typename chunk_t::scalar_t* sum) {
  for (int i = 0; i < chunk.count; ++i) {
    if (!kAdds) sum[i] = 0;
    for (int tap = 0; tap < chunk.taps; ++tap) {
      const auto offset = chunk.offsets[tap][i];
      if (offset >= 0) sum[i] += chunk.weight(0, tap)[i] * widen(plane[offset]);
    }
  }
}

/// sum = (kAdds: +=) what a channel has at the taps, weighed by set 0.
template <bool kAdds, typename chunk_t>
void gather(const chunk_t& chunk, const Rows& channel, typename chunk_t::scalar_t* sum) {
  with_storage<typename chunk_t::scalar_t>(channel.dtype, [&](auto zero) {
    const auto* plane = channel.row<const decltype(zero)>(0);
    if constexpr (chunk_t::kIsWide) {
      with_taps(chunk.taps, [&](auto taps) { gather_vectors<decltype(taps)::value, kAdds>(chunk, plane, sum); });
    } else {
      gather_singly<kAdds>(chunk, plane, sum);
    }
  });
}

}  // namespace
}  // namespace stn::cpu
