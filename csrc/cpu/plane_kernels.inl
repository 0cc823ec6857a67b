// The kernels that read and add in planes: any number of channels, a vector of locations at a time; see choice.h.
#pragma once
#include <limits>

#include "terms.inl"

namespace stn::cpu {
namespace {

/// Writes the terms' result. LocationUnits.
template <typename terms_t>
void read_planes(terms_t& terms, const LocationArray& result, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  const SampleCall& call = terms.call;
  const LocationUnits units(call.locations, call.batch);
  terms.set_strides(call.input.axis_stride, call.tangent_input.axis_stride);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, location, count] = units.at(unit);
    terms.go_to(n, location, count);
    for (int first = 0; first < count; first += kChunk) {
      const int some = std::min(kChunk, count - first);
      terms.take(first, some);
      for (int64_t c = 0; c < call.channels; ++c) {
        const Rows row = rows_of(result, call.dtype, n, c, location + first);
        const bool in_place = some == kChunk && row.stride == 1 && row.is_plain();
        alignas(64) Row<scalar_t> sum;
        scalar_t* const to[1] = {in_place ? row.row<scalar_t>(0) : sum};
        terms.read_channel(0, n, c, to);
        if (!in_place) store_row(sum, row, 0, some);
      }
    }
  }
}

/// The gradients of a tile of locations: what they add to grad_input, and those of the tile's coordinates.
template <typename terms_t, bool kWantsInput, bool kWantsSource>
class PlaneGradients {
  using scalar_t = typename terms_t::scalar_t;
  using offset_t = typename terms_t::offset_t;
  static constexpr offset_t kEnd = std::numeric_limits<offset_t>::max();

 public:
  explicit PlaneGradients(terms_t& terms) : terms_(terms), call_(terms.call) {
    const ImageArray& own = kWantsSource ? call_.input : call_.grad_input;
    terms_.set_strides(own.axis_stride, call_.tangent_input.axis_stride);
  }

  void begin() { std::memset(gradient_, 0, sizeof gradient_[0] * static_cast<size_t>(call_.dims)); }

  /// Of all channels.
  void add_all(int64_t n, int64_t location, int count) { add(n, location, count, 0, call_.channels, 0, kEnd); }
  /// Of channels [first_channel, last_channel), and of grad_input's offsets [first, last).
  void add(int64_t n, int64_t location, int count, int64_t first_channel, int64_t last_channel, offset_t first, offset_t last) {
    const ImageArray& grad = call_.grad_input;
    if (!terms_.own && !terms_.other) return;
    for (int start = 0; start < count; start += kChunk) {
      const int some = std::min(kChunk, count - start);
      const OffsetRange range = range_of(n, location + start, first, last);
      if (range.least >= last || range.largest < first) continue;
      const bool has_all = range.least >= first && range.largest < last;  // then there is nothing to compare
      terms_.take(start, some);
      alignas(64) Row<scalar_t> reads;
      clear(reads);
      if (kWantsSource && terms_.own && terms_.own->image.data) terms_.own->chunk.mark_readers(reads);
      if (kWantsSource && terms_.other && terms_.other->image.data) terms_.other->chunk.mark_readers(reads);
      for (int64_t c = first_channel; c < last_channel; ++c) {
        alignas(64) Row<scalar_t> value;
        clear(value);  // behind the last location, too
        load_row(rows_of(call_.grad_output, call_.dtype, n, c, location + start), 0, some, value);
        if (kWantsInput && terms_.own) {
          auto* plane = static_cast<scalar_t*>(grad.data) + n * grad.batch_stride + c * grad.channel_stride;
          Scatter<typename terms_t::reader_t::chunk_t>{terms_.own->chunk, has_all ? 0 : first, has_all ? kEnd : last}.add(
              value, plane);
        }
        if (!kWantsSource) continue;
        if (call_.dims == 1) add_to_gradient<1>(n, c, start, some, value, reads);
        if (call_.dims == 2) add_to_gradient<2>(n, c, start, some, value, reads);
        if (call_.dims == 3) add_to_gradient<3>(n, c, start, some, value, reads);
      }
    }
  }

  /// Hands the gradients of the coordinates on.
  void finish(int64_t unit, int64_t n, int64_t location, int count) {
    terms_.take_source_gradient(unit, n, location, count, gradient_);
  }

  /// Whether a chunk of the tile at `location` has taps at grad_input's offsets [first, last).
  bool tile_touches(int64_t n, int64_t location, int count, offset_t first, offset_t last) const {
    for (int start = 0; start < count; start += kChunk) {
      const OffsetRange range = range_of(n, location + start, first, last);
      if (range.least < last && range.largest >= first) return true;
    }
    return false;
  }

 private:
  /// Of the chunk at `location`; all offsets where there are no bands, because nothing has written ranges then.
  OffsetRange range_of(int64_t n, int64_t location, offset_t first, offset_t last) const {
    return takes_all(first, last) ? OffsetRange{0, kEnd - 1} : ChunkRanges(call_).at(call_, n, location);
  }

  template <int kDims>
  void add_to_gradient(int64_t n, int64_t c, int start, int count, const Row<scalar_t>& value, const Row<scalar_t>& reads) {
    using value_t = vector_of<scalar_t>;
    alignas(64) Row<scalar_t> slope[kDims];
    scalar_t* to[kDims];
    for (int e = 0; e < kDims; ++e) to[e] = slope[e];
    terms_.read_channel(kWantsInput, n, c, to);
    for (int e = 0; e < kDims; ++e) {
      for (int i = 0; i < count; i += kLanes<value_t>) {  // what reads nothing has no gradient, of an infinite value either
        const auto along = load_lanes<value_t>(&slope[e][i]);
        const auto counts = (load_lanes<value_t>(&reads[i]) != 0) | (along != 0);
        scalar_t* sum = &gradient_[e][start + i];
        const auto more = select(counts, load_lanes<value_t>(&value[i]) * along, scalar_t(0));
        store_lanes(sum, load_lanes<value_t>(sum) + more);
      }
    }
  }

  terms_t& terms_;
  const SampleCall& call_;
  alignas(64) TileOf<kMaxDims, scalar_t> gradient_;
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
    terms.go_to(m, location, count);
    for (int64_t n = m; n < call.batch; n += call.grid_batch) gradients.add_all(n, location, count);  // that use this grid
    gradients.finish(unit, m, location, count);
  }
}

/// Writes where chunks have their taps. LocationUnits.
template <typename terms_t>
void chunk_ranges(terms_t& terms, int64_t begin, int64_t end) {
  if (!terms.own) return;
  const SampleCall& call = terms.call;
  const LocationUnits units(call.locations, call.batch);
  terms.set_strides(call.grad_input.axis_stride, call.tangent_input.axis_stride);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, location, count] = units.at(unit);
    terms.go_to(n, location, count);
    for (int first = 0; first < count; first += kChunk) {
      terms.take(first, std::min(kChunk, count - first));
      ChunkRanges(call).at(call, n, location + first) = terms.own->chunk.range();
    }
  }
}

/// Writes grad_input alone. InputUnits; after chunk_ranges where there are bands.
template <typename terms_t>
void input_gradient(terms_t& terms, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  using offset_t = typename terms_t::offset_t;
  constexpr auto kEnd = std::numeric_limits<offset_t>::max();
  const SampleCall& call = terms.call;
  PlaneGradients<terms_t, true, false> gradients(terms);
  const InputUnits units(call);
  // grad_input is dense and its slowest axis the outermost one of a plane: a band of rows is a range of offsets.
  const int64_t row_stride = call.grad_input.axis_stride[call.dims - 1];
  for (int64_t number = begin; number < end; ++number) {
    const InputUnits::Unit unit = units.at(number);
    clear_image<scalar_t>(call, call.grad_input, unit.n, unit.first_channel, unit.last_channel, unit.first_row, unit.last_row);
    if (!terms.own) continue;
    const auto first = static_cast<offset_t>(unit.first_row * row_stride);
    const auto last = unit.last_row == units.rows ? kEnd : static_cast<offset_t>(unit.last_row * row_stride);
    for (int64_t n = unit.n; n < call.batch; n += call.input_batch) {  // the images that read this one
      for (int64_t location = 0; location < call.locations; location += kTile) {
        const int count = static_cast<int>(std::min<int64_t>(kTile, call.locations - location));
        if (units.bands > 1 && !gradients.tile_touches(n, location, count, first, last)) continue;
        terms.go_to(n, location, count);
        gradients.add(n, location, count, unit.first_channel, unit.last_channel, first, last);
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
    if (location == 0) {
      clear_image<typename terms_t::scalar_t>(call, call.grad_input, n, 0, call.channels, 0, call.size[call.dims - 1]);
    }
    gradients.begin();
    terms.go_to(n, location, count);
    gradients.add_all(n, location, count);
    gradients.finish(unit, n, location, count);
  }
}

// ---- the kernels of an instruction set; kSecond: along the tangents ---------------------------------------------------------

template <bool kSecond>
void plane_read_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  const LocationArray& result = kSecond ? call.grad_grad_output : call.output;
  with_read_terms<true, kSecond>(call, [&](auto& terms) { read_planes(terms, result, begin, end); });
}

template <bool kSecond>
void plane_source_gradient_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, false, true>(call, [&](auto& terms) { source_gradient(terms, begin, end); });
}

template <bool kSecond>
void chunk_ranges_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, true, false>(call, [&](auto& terms) { chunk_ranges(terms, begin, end); });
}

template <bool kSecond>
void plane_input_gradient_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, true, false>(call, [&](auto& terms) { input_gradient(terms, begin, end); });
}

template <bool kSecond>
void plane_gradients_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, true, true>(call, [&](auto& terms) { both_gradients(terms, begin, end); });
}

}  // namespace
}  // namespace stn::cpu
