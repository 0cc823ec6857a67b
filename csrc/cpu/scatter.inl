// Adding in planes, for a chunk of locations.
#pragma once
#include "chunk.inl"

namespace stn::cpu {
namespace {

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
  using offset_t = typename chunk_t::offset_t;
  static constexpr int kApart = 8;

 public:
  const chunk_t& chunk;

  /// To each of `count` planes its row of values. Rows hold whole vectors.
  void add(ChannelRows<const scalar_t> values, int count, ChannelRows<scalar_t> planes) const {
    int tap = 0;
    if constexpr (chunk_t::kIsWide) {
      for (; tap + 3 < chunk.taps; tap += 4) {
        for (int k = 0; k < count; ++k) add_pairs<2>(values[k], tap, planes[k]);
      }
      for (; tap + 1 < chunk.taps; tap += 2) {
        for (int k = 0; k < count; ++k) add_pairs<1>(values[k], tap, planes[k]);
      }
    }
    for (; tap < chunk.taps; ++tap) {
      with_planes<scalar_t>(count,
                            [&](int k, auto some) { add_tap<decltype(some)::value>(values.from(k), tap, planes.from(k)); });
    }
  }

 private:
  static STN_HOST void add_inside(offset_t offset, scalar_t product, scalar_t* plane) {
    if (offset >= 0) plane[offset] += product;
  }

  /// body(i) for the chunk's locations.
  template <typename Body>
  static STN_HOST void for_each_location(int count, Body&& body) {
    for (int start = 0; start < kApart; ++start) {
      for (int i = start; i < count; i += kApart) body(i);
    }
  }

  template <int kPlanes>
  STN_HOST void add_tap(ChannelRows<const scalar_t> values, int tap, ChannelRows<scalar_t> planes) const {
    using value_t = vector_of<scalar_t>;
    alignas(64) Row<scalar_t> product[kPlanes];
    for (int i = 0; i < chunk.whole; i += kLanes<value_t>) {
      const auto weight = load_lanes<value_t>(&chunk.weight(0, tap)[i]);
      STN_UNROLL
      for (int k = 0; k < kPlanes; ++k) store_lanes(&product[k][i], load_lanes<value_t>(values[k] + i) * weight);
    }
    const auto* offsets = chunk.offsets[tap];
    const int count = chunk.count;
    const auto add_at = [&](offset_t offset, int i) __attribute__((always_inline)) {
      STN_UNROLL
      for (int k = 0; k < kPlanes; ++k) planes[k][offset] += product[k][i];
    };
    if (chunk.is_inside()) {
      for_each_location(count, [&](int i) __attribute__((always_inline)) { add_at(offsets[i], i); });
    } else {
      for_each_location(count, [&](int i) __attribute__((always_inline)) {
        if (offsets[i] >= 0) add_at(offsets[i], i);
      });
    }
  }

  /// kPairs times two taps from `tap` on, each two by one addition where they are side by side. The same order however they
  /// are.
  template <int kPairs>
  STN_HOST void add_pairs(const scalar_t* value, int tap, scalar_t* plane) const {
    using value_t = vector_of<scalar_t>;
    using index_t = typename Vectors<scalar_t>::index_t;
    constexpr int n = kLanes<value_t>;
    alignas(64) scalar_t product[kPairs][kChunk][2];
    alignas(64) offset_t moved[kPairs][kChunk];
    const auto(&offsets)[kMostTaps][kChunk] = chunk.offsets;
    const int count = chunk.count;  // a copy, which stores can't change
    const Near near = chunk.least_near();
    for (int i = 0; i < chunk.whole; i += n) {
      const auto v = load_lanes<value_t>(&value[i]);
      STN_UNROLL
      for (int pair = 0; pair < kPairs; ++pair) {
        const int first = tap + 2 * pair;
        Pair<value_t> products = {v * load_lanes<value_t>(&chunk.weight(0, first)[i]),
                                  v * load_lanes<value_t>(&chunk.weight(0, first + 1)[i])};
        if (near == Near::kMovable) {
          const MovedPair<index_t> at(load_lanes<index_t>(&offsets[first][i]), load_lanes<index_t>(&offsets[first + 1][i]));
          store_lanes(&moved[pair][i], at.offset);
          products = at.of_pixels(products);
        }
        store_in_turn<scalar_t>(products.first, products.second, product[pair][i], std::make_integer_sequence<int, n>());
      }
    }
    const auto add_two = [&](const auto(&first)[kChunk], int pair, int i) __attribute__((always_inline)) {
      scalar_t* at = plane + first[i];
      two_t sum, more;
      std::memcpy(&sum, at, sizeof sum);
      std::memcpy(&more, product[pair][i], sizeof more);
      sum += more;
      std::memcpy(at, &sum, sizeof sum);
    };
    if (near >= Near::kPairs) {
      for_each_location(count, [&](int i) __attribute__((always_inline)) {
        STN_UNROLL
        for (int pair = 0; pair < kPairs; ++pair) add_two(offsets[tap + 2 * pair], pair, i);
      });
    } else if (near == Near::kMovable) {
      for_each_location(count, [&](int i) __attribute__((always_inline)) {
        STN_UNROLL
        for (int pair = 0; pair < kPairs; ++pair) add_two(moved[pair], pair, i);
      });
    } else {
      for_each_location(count, [&](int i) __attribute__((always_inline)) {
        STN_UNROLL
        for (int pair = 0; pair < kPairs; ++pair) {
          add_inside(offsets[tap + 2 * pair][i], product[pair][i][0], plane);
          add_inside(offsets[tap + 2 * pair + 1][i], product[pair][i][1], plane);
        }
      });
    }
  }
};

}  // namespace
}  // namespace stn::cpu
