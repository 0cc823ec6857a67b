// The gradients in planes: any number of channels, a vector of locations at a time.
#pragma once
#include "ownership.inl"
#include "prefetch.inl"
#include "scatter.inl"
#include "terms.inl"

namespace stn::cpu {
namespace {

/// The gradients of a tile of locations: what they add to grad_input, and those of the tile's coordinates. Where both are
/// wanted and the output's tangent is, too, that is written on the way.
template <typename terms_t, bool kWantsInput, bool kWantsSource>
class PlaneGradients {
  using scalar_t = typename terms_t::scalar_t;
  using chunk_t = typename terms_t::reader_t::chunk_t;

 public:
  explicit PlaneGradients(terms_t& terms) : terms_(terms), call_(terms.call), prefetcher_(terms) {
    const ImageArray& own = kWantsSource ? call_.input : call_.grad_input;
    terms_.set_strides(own.axis_stride, call_.tangent_input.axis_stride);
  }

  void begin() { std::memset(gradient_, 0, sizeof gradient_[0] * static_cast<size_t>(call_.dims)); }

  /// Of all channels.
  void add_all(int64_t n, int64_t location, int count, const Taken& taken = {}) {
    add(n, location, count, 0, call_.channels, taken);
  }
  /// Of channels [first_channel, last_channel).
  void add(int64_t n, int64_t location, int count, int64_t first_channel, int64_t last_channel, const Taken& taken = {}) {
    if (!terms_.own && !terms_.other) return;
    for (int start = 0; start < count; start += kChunk) {
      if (taken.which == Taken::kRest && !taken.shared[start / kChunk]) continue;
      const Slice slice{n, location + start, start, std::min(kChunk, count - start), first_channel, last_channel};
      terms_.take(start, slice.count);
      if (kWantsSource) prefetcher_.ask(n, first_channel, last_channel);
      if (!kWantsInput || !terms_.own || taken.takes_all(terms_.own->chunk, start / kChunk)) {
        add_slice<kWantsInput, kWantsSource>(slice);
        continue;
      }
      if (kWantsSource) add_slice<false, kWantsSource>(slice);
      taken.leave_out_others(terms_.own->chunk);
      add_slice<kWantsInput, false>(slice);
    }
  }

  /// Hands the gradients of the coordinates on.
  void finish(int64_t unit, int64_t n, int64_t location, int count) {
    terms_.take_source_gradient(unit, n, location, count, gradient_);
  }

 private:
  /// A chunk of locations, the first of which is the tile's `start`, and some channels.
  struct Slice {
    int64_t n, location;
    int start, count;
    int64_t first_channel, last_channel;
  };

  template <bool kToInput, bool kToSource>
  void add_slice(const Slice& slice) {
    for (int64_t c = slice.first_channel; c < slice.last_channel; c += kMostPlanes) {
      const int channels = static_cast<int>(std::min<int64_t>(kMostPlanes, slice.last_channel - c));
      alignas(64) PlaneRows<scalar_t> copies;
      const auto values = values_of(slice, c, channels, copies);
      if (kToInput && terms_.own) {
        const ImageArray& grad = call_.grad_input;
        auto* first = static_cast<scalar_t*>(grad.data) + slice.n * grad.batch_stride + c * grad.channel_stride;
        Scatter<chunk_t>{terms_.own->chunk}.add(values, channels, {first, grad.channel_stride});
      }
      if (!kToSource) continue;
      if constexpr (kWantsInput) {
        if (call_.grad_grad_output.data) {
          read_and_take_dots(slice, c, channels, values);
          continue;
        }
      }
      take_dots<false>(slice, c, channels, values, {});
    }
    for (int e = 0; kToSource && e < call_.dims; ++e) {
      scalar_t* sum = &gradient_[e][slice.start];
      if (terms_.own) terms_.own->weigh(own_, kWantsInput + e, sum);
      if (terms_.other) terms_.other->weigh(other_, kWantsInput + e, sum);
    }
  }

  /// The channels of grad_output from c on, in whole vectors.
  ChannelRows<const scalar_t> values_of(const Slice& slice, int64_t c, int channels, PlaneRows<scalar_t>& copies) const {
    const Rows rows = rows_of(call_.grad_output, call_.dtype, slice.n, c, slice.location);
    if (slice.count == kChunk && rows.stride == 1 && rows.is_plain()) return rows.template rows<const scalar_t>();
    for (int k = 0; k < channels; ++k) clear(copies[k]);
    load_rows<scalar_t>(rows, channels, slice.count, copies);
    return {copies[0], kChunk};
  }

  /// The channels' grad_output times the images' pixels, and what is read of these, if kReads.
  template <bool kReads>
  void take_dots(const Slice& slice, int64_t c, int channels, ChannelRows<const scalar_t> values, ChannelRows<scalar_t> reads) {
    const bool adds = c > slice.first_channel;
    if (terms_.own) terms_.own->template take_dots<kReads>(slice.n, c, channels, values, own_, reads, adds);
    if (terms_.other) terms_.other->template take_dots<kReads>(slice.n, c, channels, values, other_, reads, adds);
  }
  void read_and_take_dots(const Slice& slice, int64_t c, int channels, ChannelRows<const scalar_t> values) {
    alignas(64) PlaneRows<scalar_t> reads;
    for (int k = 0; k < channels; ++k) clear(reads[k]);
    take_dots<true>(slice, c, channels, values, {reads[0], kChunk});
    const Rows rows = rows_of(call_.grad_grad_output, call_.dtype, slice.n, c, slice.location);
    store_rows<scalar_t>(reads, rows, channels, slice.count, streams_result(call_));
  }

  terms_t& terms_;
  const SampleCall& call_;
  TermsPrefetcher<terms_t> prefetcher_;
  alignas(64) TileOf<kMaxDims, scalar_t> gradient_;
  Dots<chunk_t> own_, other_;
};

/// Writes the gradient of the source alone. LocationUnits of the grid's images.
template <typename terms_t>
void source_gradient(terms_t& terms, int64_t begin, int64_t end) {
  const SampleCall& call = terms.call;
  PlaneGradients<terms_t, false, true> gradients(terms);
  const LocationUnits units(call.locations, call.grid_batch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [m, location, count] = units.at(unit);
    gradients.begin();
    if (terms.own || terms.other) {  // or it is zeros, wherever the locations are
      terms.go_to(m, location, count);
      for (int64_t n = m; n < call.batch; n += call.grid_batch) gradients.add_all(n, location, count);  // that use this grid
    }
    gradients.finish(unit, m, location, count);
  }
}

/// Writes grad_input alone. InputUnits.
template <typename terms_t>
void input_gradient(terms_t& terms, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  const SampleCall& call = terms.call;
  PlaneGradients<terms_t, true, false> gradients(terms);
  const InputUnits units(call);
  for (int64_t number = begin; number < end; ++number) {
    const InputUnits::Unit unit = units.at(number);
    clear_image<scalar_t>(call, call.grad_input, unit.n, unit.first_channel, unit.last_channel);
    if (!terms.own) continue;
    for (int64_t n = unit.n; n < call.batch; n += call.input_batch) {  // the images that read this one
      for (int64_t location = 0; location < call.locations; location += kTile) {
        const int count = static_cast<int>(std::min<int64_t>(kTile, call.locations - location));
        terms.go_to(n, location, count);
        gradients.add(n, location, count, unit.first_channel, unit.last_channel);
      }
    }
  }
}

/// Both at once. A unit is an image.
template <typename terms_t>
void both_gradients(terms_t& terms, int64_t begin, int64_t end) {
  const SampleCall& call = terms.call;
  PlaneGradients<terms_t, true, true> gradients(terms);
  const LocationUnits units(call.locations, call.batch);
  for (int64_t unit = begin * units.tiles; unit < end * units.tiles; ++unit) {
    const auto [n, location, count] = units.at(unit);
    if (location == 0) clear_image<typename terms_t::scalar_t>(call, call.grad_input, n, 0, call.channels);
    gradients.begin();
    terms.go_to(n, location, count);
    gradients.add_all(n, location, count);
    gradients.finish(unit, n, location, count);
  }
}

}  // namespace
}  // namespace stn::cpu
