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
  /// = (kAdds: +=) value times the channel's pixels; and, if kReads, read += these, weighed by set 0, as gather() has it. Rows
  /// hold whole vectors.
  template <bool kAdds, bool kReads>
  void take(const chunk_t& chunk, const Rows& channel, const scalar_t* value, scalar_t* read) {
    with_storage<scalar_t>(channel.dtype, [&](auto zero) {
      const auto* plane = channel.row<const decltype(zero)>(0);
      if constexpr (chunk_t::kIsWide) {
        with_taps(chunk.taps,
                  [&](auto taps) { take_vectors<decltype(taps)::value, kAdds, kReads>(chunk, plane, value, read); });
      } else {
        take_singly<kAdds>(chunk, plane, value);
        if constexpr (kReads) gather_singly<true>(chunk, plane, read);
      }
    });
  }

  /// ... times the channel's fill value.
  template <bool kAdds>
  void take_fill(const chunk_t& chunk, scalar_t fill, const scalar_t* value) {
    for (int i = 0; i < chunk.whole; ++i) fill_[i] = (kAdds ? fill_[i] : 0) + value[i] * fill;
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
  template <int kTaps, bool kAdds, bool kReads, typename storage_t>
  void take_vectors(const chunk_t& chunk, const storage_t* plane, const scalar_t* value, scalar_t* read) {
    const int taps = kTaps > 0 ? kTaps : chunk.taps, count = chunk.count;
    for (int i = 0; i < count; i += kLanes<value_t>) {
      const auto g = load_lanes<value_t>(&value[i]);
      [[maybe_unused]] value_t total = {};
      if constexpr (kReads) total = load_lanes<value_t>(&read[i]);
      for_each_pixels<kTaps>(chunk, taps, i, plane, [&](int tap, value_t pixels) __attribute__((always_inline)) {
        const auto product = g * pixels;  // weigh() leaves out what is outside
        scalar_t* at = &dot_[tap][i];
        store_lanes(at, kAdds ? load_lanes<value_t>(at) + product : product);
        if constexpr (kReads) total += load_lanes<value_t>(&chunk.weight(0, tap, taps)[i]) * pixels;
      });
      if constexpr (kReads) store_lanes(&read[i], total);
    }
  }

  template <bool kAdds, typename storage_t>
  void take_singly(const chunk_t& chunk, const storage_t* plane, const scalar_t* value) {
    for (int tap = 0; tap < chunk.taps; ++tap) {
      for (int i = 0; i < chunk.whole; ++i) {
        const auto offset = chunk.offsets[tap][i];
        if (!kAdds) dot_[tap][i] = 0;
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
