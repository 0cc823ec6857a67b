// Gradients of coordinates in planes, for a chunk of locations: grad_output times the pixels at each tap, summed over the
// channels first and weighed then, once for all of them.
#pragma once
#include "gather.inl"

namespace stn::cpu {
namespace {

/// grad_output of a chunk's locations times what an image has at each of their taps, and times the image's fill value: sums
/// over channels.
template <typename chunk_t>
class Dots {
  using scalar_t = typename chunk_t::scalar_t;
  using value_t = vector_of<scalar_t>;

 public:
  /// = (adds: +=) values times pixels, of `count` channels; and, if kReads, reads += these, weighed by set 0, as gather() has
  /// it. Rows hold whole vectors.
  template <bool kReads>
  void take(const chunk_t& chunk, const Rows& channels, int count, ChannelRows<const scalar_t> values,
            ChannelRows<scalar_t> reads, bool adds) {
    with_storage<scalar_t>(channels.dtype, [&](auto zero) {
      using storage_t = decltype(zero);
      const auto planes = channels.rows<const storage_t>();
      if constexpr (chunk_t::kIsWide) {
        with_taps(chunk.taps, [&](auto taps) {
          with_planes<storage_t>(count, [&](int k, auto some) {
            constexpr int kTaps = decltype(taps)::value, kPlanes = decltype(some)::value;
            if (adds || k > 0) {
              take_vectors<kTaps, kPlanes, true, kReads>(chunk, planes.from(k), values.from(k), reads.from(k));
            } else {
              take_vectors<kTaps, kPlanes, false, kReads>(chunk, planes.from(k), values.from(k), reads.from(k));
            }
          });
        });
      } else {
        for (int k = 0; k < count; ++k) {
          take_singly(chunk, planes[k], values[k], adds || k > 0);
          if constexpr (kReads) gather_singly<true>(chunk, planes[k], reads[k]);
        }
      }
    });
  }

  /// = (adds: +=) a channel's values times its fill value.
  void take_fill(const chunk_t& chunk, scalar_t fill, const scalar_t* value, bool adds) {
    for (int i = 0; i < chunk.whole; ++i) fill_[i] = (adds ? fill_[i] : 0) + value[i] * fill;
  }

  /// = what was summed elsewhere, for a vector of locations.
  void set(int tap, int i, value_t sums) { store_lanes(&dot_[tap][i], sums); }
  void set_fill(int i, value_t sums) { store_lanes(&fill_[i], sums); }

  /// sum += the pixels' products, weighed by `set`. What is outside has none, of an infinite weight either.
  void weigh(const chunk_t& chunk, int set, scalar_t* sum) const {
    with_taps(chunk.taps, [&](auto taps) { weigh_taps<decltype(taps)::value>(chunk, set, sum); });
  }
  /// ... the fill value's.
  void weigh_fill(const chunk_t& chunk, int set, scalar_t* sum) const {
    for (int i = 0; i < chunk.whole; i += kLanes<value_t>) {
      const auto weight = load_lanes<value_t>(&chunk.fill[set][i]);
      const auto more = select(weight != 0, weight * load_lanes<value_t>(&fill_[i]), scalar_t(0));
      store_lanes(&sum[i], load_lanes<value_t>(&sum[i]) + more);
    }
  }

 private:
  template <int kTaps, int kPlanes, bool kAdds, bool kReads, typename storage_t>
  STN_HOST void take_vectors(const chunk_t& chunk, ChannelRows<const storage_t> planes, ChannelRows<const scalar_t> values,
                             ChannelRows<scalar_t> reads) {
    const int taps = kTaps > 0 ? kTaps : chunk.taps, count = chunk.count;
    for (int i = 0; i < count; i += kLanes<value_t>) {
      [[maybe_unused]] value_t dots[kTaps + 1], totals[kPlanes];  // in registers, the dots of few taps, too
      STN_UNROLL
      for (int tap = 0; kAdds && tap < kTaps; ++tap) dots[tap] = load_lanes<value_t>(&dot_[tap][i]);
      STN_UNROLL
      for (int k = 0; kReads && k < kPlanes; ++k) totals[k] = load_lanes<value_t>(&reads[k][i]);
      for_each_pixels<kTaps, kPlanes>(
          chunk, taps, i, planes, [&](int k, int tap, value_t pixels) __attribute__((always_inline)) {
            const auto product = load_lanes<value_t>(&values[k][i]) * pixels;  // weigh() leaves out what is outside
            const bool adds = kAdds || k > 0;
            if constexpr (kTaps > 0) {
              dots[tap] = adds ? dots[tap] + product : product;
            } else {
              scalar_t* at = &dot_[tap][i];
              store_lanes(at, adds ? load_lanes<value_t>(at) + product : product);
            }
            if constexpr (kReads) totals[k] += load_lanes<value_t>(&chunk.weight(0, tap, taps)[i]) * pixels;
          });
      STN_UNROLL
      for (int tap = 0; tap < kTaps; ++tap) store_lanes(&dot_[tap][i], dots[tap]);
      STN_UNROLL
      for (int k = 0; kReads && k < kPlanes; ++k) store_lanes(&reads[k][i], totals[k]);
    }
  }

  template <typename storage_t>
  void take_singly(const chunk_t& chunk, const storage_t* plane, const scalar_t* value, bool adds) {
    for (int tap = 0; tap < chunk.taps; ++tap) {
      for (int i = 0; i < chunk.whole; ++i) {
        const auto offset = chunk.offsets[tap][i];
        if (!adds) dot_[tap][i] = 0;
        if (offset >= 0) dot_[tap][i] += value[i] * widen(plane[offset]);
      }
    }
  }

  template <int kTaps>
  void weigh_taps(const chunk_t& chunk, int set, scalar_t* sum) const {
    const int taps = kTaps > 0 ? kTaps : chunk.taps, whole = chunk.whole;
    for (int i = 0; i < whole; i += kLanes<value_t>) {
      auto total = load_lanes<value_t>(&sum[i]);
      const auto product = [&](int tap) __attribute__((always_inline)) {
        return load_lanes<value_t>(&chunk.weight(set, tap, taps)[i]) * load_lanes<value_t>(&dot_[tap][i]);
      };
      if (chunk.is_inside(i)) {
        repeat<kTaps>(taps, [&](int tap) __attribute__((always_inline)) { total += product(tap); });
      } else {
        repeat<kTaps>(taps, [&](int tap) __attribute__((always_inline)) {
          total += select(chunk.are_inside(tap, i), product(tap), scalar_t(0));
        });
      }
      store_lanes(&sum[i], total);
    }
  }

  alignas(64) scalar_t dot_[kMostTaps][kChunk], fill_[kChunk];
};

}  // namespace
}  // namespace stn::cpu
