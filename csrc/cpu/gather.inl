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

/// The offsets of a vector of locations, kept in registers: where the same ones are used again after a store, or for several
/// planes.
template <typename scalar_t>
class LaneOffsets {
  using index_t = typename Vectors<scalar_t>::index_t;
  static constexpr int n = kLanes<vector_of<scalar_t>>;

 public:
  template <typename offset_t>
  STN_HOST explicit LaneOffsets(const offset_t* offset) {
    STN_UNROLL
    for (int k = 0; k < n; ++k) offset_[k] = offset[k];
  }
  /// By way of memory: g++ takes longer to get them out of a vector's register one by one.
  STN_HOST explicit LaneOffsets(index_t offset) {
    alignas(64) element_of<index_t> stored[n];
    store_lanes(stored, offset);
    asm volatile("" ::"r"(stored) : "memory");
    STN_UNROLL
    for (int k = 0; k < n; ++k) offset_[k] = stored[k];
  }
  STN_HOST int64_t operator[](int k) const { return offset_[k]; }

 private:
  int64_t offset_[n];
};

/// body(k, tap, the pixels that a vector of locations has there in plane k) for the taps of each plane at the chunk's i-th
/// locations. Where a tap is outside, the pixel is 0. Of a plane, taps come in their order.
template <int kTaps, int kPlanes, typename chunk_t, typename storage_t, typename Body>
STN_HOST void for_each_pixels(const chunk_t& chunk, int taps, int i, const ChannelRows<const storage_t>& planes, Body&& body) {
  using scalar_t = typename chunk_t::scalar_t;
  using index_t = typename Vectors<scalar_t>::index_t;
  const Near near = chunk.near[i / kLanes<vector_of<scalar_t>>];
  const auto each_plane = [&](auto&& visit) __attribute__((always_inline)) {
    STN_UNROLL
    for (int k = 0; k < kPlanes; ++k) visit(k, planes[k]);
  };
  const auto each_pair = [&](auto&& visit) __attribute__((always_inline)) {
    repeat<kTaps / 2>(taps / 2, [&](int pair) __attribute__((always_inline)) { visit(2 * pair); });
  };
  const auto two = [&](int k, int tap, const auto& pixels) __attribute__((always_inline)) {
    body(k, tap, pixels.first);
    body(k, tap + 1, pixels.second);
  };
  if (near == Near::kBox) {
    const LaneOffsets<scalar_t> first(&chunk.offsets[0][i]);
    each_plane([&](int k, const storage_t* plane) __attribute__((always_inline)) {
      each_pair([&](int tap) __attribute__((always_inline)) { two(k, tap, load_pairs(plane + chunk.from_first[tap], first)); });
    });
  } else if (near == Near::kPairs) {
    each_pair([&](int tap) __attribute__((always_inline)) {
      const LaneOffsets<scalar_t> offset(&chunk.offsets[tap][i]);
      each_plane([&](int k, const storage_t* plane) __attribute__((always_inline)) { two(k, tap, load_pairs(plane, offset)); });
    });
  } else if (near == Near::kMovable) {
    each_pair([&](int tap) __attribute__((always_inline)) {
      const MovedPair<index_t> moved(load_lanes<index_t>(&chunk.offsets[tap][i]),
                                     load_lanes<index_t>(&chunk.offsets[tap + 1][i]));
      const LaneOffsets<scalar_t> offset(moved.offset);
      each_plane([&](int k, const storage_t* plane)
                     __attribute__((always_inline)) { two(k, tap, moved.of_taps(load_pairs(plane, offset))); });
    });
  } else if (near == Near::kInside) {
    repeat<kTaps == 1>(taps, [&](int tap) __attribute__((always_inline)) {
      const LaneOffsets<scalar_t> offset(&chunk.offsets[tap][i]);
      each_plane([&](int k, const storage_t* plane)
                     __attribute__((always_inline)) { body(k, tap, load_pixels(plane, offset)); });
    });
  } else {
    STN_ROLL
    for (int tap = 0; tap < taps; ++tap) {
      const auto at = load_lanes<index_t>(&chunk.offsets[tap][i]);
      const LaneOffsets<scalar_t> readable(select(at < 0, 0, at));
      each_plane([&](int k, const storage_t* plane) __attribute__((always_inline)) {
        body(k, tap, select(at < 0, scalar_t(0), load_pixels(plane, readable)));
      });
    }
  }
}

/// sum = (kAdds: +=) the planes' pixels at the taps, weighed by set 0. Whole vectors.
template <int kTaps, int kPlanes, bool kAdds, typename chunk_t, typename storage_t>
STN_HOST void gather_vectors(const chunk_t& chunk, ChannelRows<const storage_t> planes,
                             ChannelRows<typename chunk_t::scalar_t> sums) {
  using value_t = vector_of<typename chunk_t::scalar_t>;
  // Copies, which the stores below can't change: they stay in registers.
  const int taps = kTaps > 0 ? kTaps : chunk.taps, count = chunk.count;
  for (int i = 0; i < count; i += kLanes<value_t>) {
    value_t total[kPlanes];
    STN_UNROLL
    for (int k = 0; k < kPlanes; ++k) total[k] = kAdds ? load_lanes<value_t>(&sums[k][i]) : value_t{};
    for_each_pixels<kTaps, kPlanes>(chunk, taps, i, planes, [&](int k, int tap, value_t pixels) __attribute__((always_inline)) {
      total[k] += load_lanes<value_t>(&chunk.weight(0, tap, taps)[i]) * pixels;
    });
    STN_UNROLL
    for (int k = 0; k < kPlanes; ++k) store_lanes(&sums[k][i], total[k]);
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

/// sum = (kAdds: +=) what each of `count` channels has at the taps, weighed by set 0.
template <bool kAdds, typename chunk_t>
void gather(const chunk_t& chunk, const Rows& channels, int count, ChannelRows<typename chunk_t::scalar_t> sums) {
  with_storage<typename chunk_t::scalar_t>(channels.dtype, [&](auto zero) {
    using storage_t = decltype(zero);
    const auto planes = channels.rows<const storage_t>();
    if constexpr (chunk_t::kIsWide) {
      with_taps(chunk.taps, [&](auto taps) {
        with_planes<storage_t>(count, [&](int k, auto some) {
          gather_vectors<decltype(taps)::value, decltype(some)::value, kAdds>(chunk, planes.from(k), sums.from(k));
        });
      });
    } else {
      for (int k = 0; k < count; ++k) gather_singly<kAdds>(chunk, planes[k], sums[k]);
    }
  });
}

}  // namespace
}  // namespace stn::cpu
