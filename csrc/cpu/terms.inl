// What is summed for each derivative, in terms of images whose taps are weighed. With w the weight of a tap with pixel I,
// tangents tI of input and tx of the coordinates, and g grad_output (csrc/README.md, "Second derivatives"):
//
//   output             sum over taps of  w I
//   its tangent        sum over taps of  w tI + sum_e tx_e (dw/de) I         which is the gradient of grad_output, too
//   grad_input         g w, added at each tap
//   its second         g sum_e tx_e (dw/de), added at each tap
//   grad_grid, axis e  sum over channels of  g sum over taps of  (dw/de) I
//   its second         sum over channels of  g sum over taps of  (dw/de) tI + sum_f tx_f (d2w/de df) I
#pragma once
#include "dots.inl"
#include "kernel_support.inl"
#include "weights.inl"

namespace stn::cpu {
namespace {

// ---- images ---------------------------------------------------------------------------------------------------------------

/// The taps of an image and of its fill value, chunk by chunk. Either may be absent, and then has no taps. What kernels see of
/// it depends on neither axes nor mode nor padding nor on what taps weigh, so that there is one of each kernel and not
/// hundreds.
template <typename scalar_t, typename offset_t>
class Reader {
 public:
  using chunk_t = Chunk<scalar_t, offset_t>;

  const ImageArray image;
  const Channels<const scalar_t, int64_t> fill;
  chunk_t chunk;

  /// Offsets are those of a plane with these strides.
  const int64_t* axis_stride = nullptr;

  /// Makes the chunk that of the tile's locations [first, first + count).
  virtual void take(int first, int count) = 0;

  /// sum = (kAdds: +=) what each of `count` channels of image n, from c on, has at the taps, weighed by set 0. Rows hold whole
  /// vectors.
  template <bool kAdds>
  STN_HOST void read_channels(int64_t n, int64_t c, int count, ChannelRows<scalar_t> sums) const {
    if (image.data) gather<kAdds>(chunk, rows_of(image, dtype_, n, c), count, sums);
    for (int k = 0; k < count; ++k) {
      if (!image.data && !kAdds) clear(sums[k]);
      if (fill.data) chunk.add_fill(fill.at(n, c + k), sums[k]);
    }
  }

  /// dots = (adds: +=) values times what the channels have at the taps; and, if kReads, reads += what read_channels() has.
  template <bool kReads>
  STN_HOST void take_dots(int64_t n, int64_t c, int count, ChannelRows<const scalar_t> values, Dots<chunk_t>& dots,
                          ChannelRows<scalar_t> reads, bool adds) const {
    if (image.data) dots.template take<kReads>(chunk, rows_of(image, dtype_, n, c), count, values, reads, adds);
    for (int k = 0; fill.data && k < count; ++k) {
      const scalar_t value = fill.at(n, c + k);
      dots.take_fill(chunk, value, values[k], adds || k > 0);
      if (kReads) chunk.add_fill(value, reads[k]);
    }
  }
  /// sum += the dots, weighed by `set`.
  STN_HOST void weigh(const Dots<chunk_t>& dots, int set, scalar_t* sum) const {
    if (image.data) dots.weigh(chunk, set, sum);
    if (fill.data) dots.weigh_fill(chunk, set, sum);
  }

 protected:
  Reader(const SampleCall& call, const ImageArray& image, const ChannelArray& fill)
      : image(image), fill(fill), dtype_(call.dtype) {}
  ~Reader() = default;

 private:
  ScalarType dtype_;
};

/// The coordinates of a tile's locations.
template <typename kind_t>
struct Where {
  const typename kind_t::geometry_t geometry;
  alignas(64) TileOf<kind_t::kDims, typename kind_t::scalar_t> coordinate = {};  // filled up to whole vectors
};

template <typename kind_t, typename Weights>
class ReaderOf final : public Reader<typename kind_t::scalar_t, typename kind_t::offset_t> {
  using base_t = Reader<typename kind_t::scalar_t, typename kind_t::offset_t>;
  using where_t = Where<kind_t>;
  using take_t = void(const typename kind_t::geometry_t&, const int64_t*, const decltype(where_t::coordinate)&, int first,
                      int count, const Weights&, bool fills, typename base_t::chunk_t&);

 public:
  ReaderOf(const SampleCall& call, const where_t& where, const ImageArray& image, const ChannelArray& fill,
           const Weights& weigh)
      : base_t(call, image, fill), where_(where), weigh_(weigh), take_(take_for(call)) {}

  void take(int first, int count) override {
    take_(where_.geometry, this->axis_stride, where_.coordinate, first, count, weigh_, this->fill.data != nullptr, this->chunk);
  }

 private:
  /// The function for the call's padding, where that is worth one: a kind of padding is looked up at run time for tangents, and
  /// where locations are taken one by one.
  static take_t* take_for(const SampleCall& call) {
    using Lanes = typename kind_t::Lanes;
    using geometry_t = typename kind_t::geometry_t;
    using chunk_t = typename base_t::chunk_t;
    take_t* function = &take_chunk<RuntimePadding, kind_t::kMode, Lanes, geometry_t, Weights, chunk_t>;
    if constexpr (Lanes::kAreMany && !Weights::kAlongTangent) {
      dispatch_padding<kind_t::kMode>(
          call, [&](auto pad) { function = &take_chunk<decltype(pad), kind_t::kMode, Lanes, geometry_t, Weights, chunk_t>; });
    }
    return function;
  }

  const where_t& where_;
  const Weights weigh_;
  take_t* const take_;
};

// ---- terms ------------------------------------------------------------------------------------------------------------------

/// What is summed: `own` reads input, or has the taps of grad_input; `other` reads input's tangent. nullptr: not there.
template <typename scalar_t_, typename offset_t_>
class Terms {
 public:
  using scalar_t = scalar_t_;
  using offset_t = offset_t_;
  using reader_t = Reader<scalar_t, offset_t>;

  const SampleCall& call;
  reader_t *own = nullptr, *other = nullptr;

  /// The strides of the planes that the images have, or are copied to.
  void set_strides(const int64_t* own_stride, const int64_t* other_stride) {
    if (own) own->axis_stride = own_stride;
    if (other) other->axis_stride = other_stride;
  }
  /// Goes to a tile of locations.
  virtual void go_to(int64_t n, int64_t location, int count) = 0;
  /// sum = what the images have; see Reader::read_channels.
  STN_HOST void read_channels(int64_t n, int64_t c, int count, ChannelRows<scalar_t> sums) const {
    if (own) {
      own->template read_channels<false>(n, c, count, sums);
      if (other) other->template read_channels<true>(n, c, count, sums);
    } else if (other) {
      other->template read_channels<false>(n, c, count, sums);
    } else {
      for (int k = 0; k < count; ++k) clear(sums[k]);
    }
  }
  /// From the least index of the slowest axis at which the tile's locations may have taps to the largest.
  virtual std::pair<int64_t, int64_t> rows(int count) const = 0;
  void take(int first, int count) {
    if (own) own->take(first, count);
    if (other) other->take(first, count);
  }
  /// Takes the gradients of a tile's coordinates to the source's parameters.
  virtual void take_source_gradient(int64_t unit, int64_t n, int64_t location, int count,
                                    const TileOf<kMaxDims, scalar_t>& gradient) const = 0;

 protected:
  explicit Terms(const SampleCall& call) : call(call) {}
  ~Terms() = default;
};

template <typename kind_t>
class TermsOf : public Terms<typename kind_t::scalar_t, typename kind_t::offset_t> {
  using scalar_t = typename kind_t::scalar_t;
  static constexpr int kDims = kind_t::kDims;

 public:
  void take_source_gradient(int64_t unit, int64_t n, int64_t location, int count,
                            const TileOf<kMaxDims, scalar_t>& gradient) const final {
    take_gradients(where_.geometry.source, unit, n, location, count, gradient);
  }
  std::pair<int64_t, int64_t> rows(int count) const final {
    constexpr int kSlowest = kDims - 1;
    return tap_indices<kind_t::kMode, typename kind_t::Lanes>(where_.geometry.axes[kSlowest], where_.coordinate[kSlowest],
                                                              count);
  }
  void go_to(int64_t n, int64_t location, int count) override {
    tile_coordinates(where_.geometry.source, n, location, count, where_.coordinate);
  }

 protected:
  explicit TermsOf(const SampleCall& call)
      : Terms<scalar_t, typename kind_t::offset_t>(call), where_{typename kind_t::geometry_t(call)} {}

  Where<kind_t> where_;
};

/// Of first derivatives, and of outputs.
template <typename kind_t, typename Weights>
class FirstTerms final : public TermsOf<kind_t> {
 public:
  FirstTerms(const SampleCall& call, const ImageArray& image, const ChannelArray& fill)
      : TermsOf<kind_t>(call), own_(call, this->where_, image, fill, {}) {
    this->own = &own_;
  }

 private:
  ReaderOf<kind_t, Weights> own_;
};

/// Of what they become along the tangents.
template <typename kind_t, typename OwnWeights, typename OtherWeights>
class SecondTerms final : public TermsOf<kind_t> {
  using scalar_t = typename kind_t::scalar_t;

 public:
  SecondTerms(const SampleCall& call, const ImageArray& image, const ChannelArray& fill)
      : TermsOf<kind_t>(call),
        own_(call, this->where_, image, fill, OwnWeights::along(direction_)),
        other_(call, this->where_, call.tangent_input, call.tangent_fill, {}) {
    if (call.tangent_grid.data && kind_t::kDifferentiable) this->own = &own_;
    if (call.tangent_input.data || call.tangent_fill.data) this->other = &other_;
  }

  void go_to(int64_t n, int64_t location, int count) override {
    TermsOf<kind_t>::go_to(n, location, count);
    const Locations<scalar_t, int64_t> tangent(this->call.tangent_grid);
    if (!tangent.data) return;
    const auto* first = static_cast<const scalar_t*>(tangent.data) + tangent.offset(n, 0, location);
    load_tile<kind_t::kDims>(first, tangent.location_stride, tangent.channel_stride, count, direction_);
  }

 private:
  alignas(64) TileOf<kind_t::kDims, scalar_t> direction_ = {};
  ReaderOf<kind_t, OwnWeights> own_;
  ReaderOf<kind_t, OtherWeights> other_;
};

/// Calls body(the terms of an output), or of its tangent.
template <bool kAnySize, bool kSecond, typename Body>
STN_HOST void with_read_terms(const SampleCall& call, Body&& body) {
  with_kind<kAnySize>(call, [&](auto kind) {
    using kind_t = decltype(kind);
    using scalar_t = typename kind_t::scalar_t;
    using terms_t =
        std::conditional_t<kSecond, SecondTerms<kind_t, Along<kind_t::kDims, scalar_t>, Values>, FirstTerms<kind_t, Values>>;
    terms_t terms(call, call.input, call.fill);
    body(static_cast<Terms<scalar_t, typename kind_t::offset_t>&>(terms));
  });
}

/// Calls body(terms that have grad_input's taps, and no more).
template <typename Body>
STN_HOST void with_taps_only(const SampleCall& call, Body&& body) {
  with_kind<true>(call, [&](auto kind) {
    using kind_t = decltype(kind);
    FirstTerms<kind_t, Nothing> terms(call, call.grad_input, ChannelArray{});
    body(static_cast<Terms<typename kind_t::scalar_t, typename kind_t::offset_t>&>(terms));
  });
}

/// A, B or both.
template <bool kWantsA, bool kWantsB, typename A, typename B>
using Wanted = std::conditional_t<kWantsA, std::conditional_t<kWantsB, Joined<A, B>, A>, B>;

/// Calls body(the terms of the gradients, whether of grad_input, whether of the source's). The weights of the one are set 0,
/// and of the output's tangent; those of the other the sets after it. Where both are wanted at once, input and grad_input have
/// the same strides.
template <bool kAnySize, bool kSecond, bool kWantsInput, bool kWantsSource, typename Body>
STN_HOST void with_gradient_terms(const SampleCall& call, Body&& body) {
  with_kind<kAnySize>(call, [&](auto kind) {
    using kind_t = decltype(kind);
    using scalar_t = typename kind_t::scalar_t;
    constexpr int kDims = kind_t::kDims;
    using value_t = std::conditional_t<kSecond, Along<kDims, scalar_t>, Values>;
    using slope_t = std::conditional_t<kSecond, Bends<kDims, scalar_t>, Slopes<kDims>>;
    using weights_t = Wanted<kWantsInput, kWantsSource, value_t, slope_t>;
    using other_t = Wanted<kWantsInput, kWantsSource, Values, Slopes<kDims>>;  // not read for grad_input
    using terms_t = std::conditional_t<kSecond, SecondTerms<kind_t, weights_t, other_t>, FirstTerms<kind_t, weights_t>>;
    SampleCall wanted = call;
    if (!kWantsSource) wanted.tangent_input = {}, wanted.tangent_fill = {};
    terms_t terms(wanted, kWantsSource ? call.input : call.grad_input, kWantsSource ? call.fill : ChannelArray{});
    if (kWantsSource && !kind_t::kDifferentiable) terms.own = terms.other = nullptr;  // its gradient is 0
    body(static_cast<Terms<scalar_t, typename kind_t::offset_t>&>(terms));
  });
}

}  // namespace
}  // namespace stn::cpu
