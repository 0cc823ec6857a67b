// Reading lines of channels, a location at a time.
#pragma once
#include "line_chunk.inl"

namespace stn::cpu {
namespace {

/// What the terms' images have at the chunk's locations, a vector of a line's channels at a time. kPlain: one image, without a
/// fill value.
template <int kTaps, bool kPlain, typename terms_t>
struct LineReader {
  using scalar_t = typename terms_t::scalar_t;
  using line_t = Line<scalar_t>;

  const terms_t& terms;
  const scalar_t *own, *other;            // where the images' line begins
  const scalar_t *own_fill, *other_fill;  // the line of their fill values

  /// Of location i. kInside: all its taps are.
  template <bool kInside>
  STN_HOST line_t at(int i) const {
    line_t sum = line_t::zeros();
    if (kPlain || terms.own) add<kInside>(*terms.own, own, own_fill, i, sum);
    if (!kPlain && terms.other) add<kInside>(*terms.other, other, other_fill, i, sum);
    return sum;
  }

  /// Whether at<true> may be asked for the vector of locations that begins with the i-th.
  STN_HOST bool is_inside(int i) const { return kPlain && terms.own->chunk.is_inside(i); }

 private:
  template <bool kInside, typename reader_t>
  STN_HOST void add(const reader_t& reader, const scalar_t* data, const scalar_t* fill, int i, line_t& sum) const {
    const auto& chunk = reader.chunk;
    if (kPlain || reader.image.data) {
      repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) {
        const auto offset = chunk.offsets[tap][i];
        if (kInside || offset >= 0) sum.add(chunk.weight(0, tap)[i], line_t::load(data + offset));
      });
    }
    if (!kPlain && reader.fill.data && chunk.fill[0][i] != 0) sum.add(chunk.fill[0][i], line_t::load(fill));
  }
};

/// Writes a line of all locations of a chunk.
template <typename scalar_t, typename line_reader_t>
void write_lines(const line_reader_t& reader, const Rows& rows, int channels, int count, bool streams) {
  using line_t = Line<scalar_t>;
  constexpr int n = line_t::kVectorLanes;
  alignas(64) scalar_t turned[kLine<scalar_t>][kChunk];
  if (rows.channel_stride == 1) {
    return with_storage<scalar_t>(rows.dtype, [&](auto zero) {
      for (int i = 0; i < count; ++i) {
        reader.template at<false>(i).store(turned[0]);
        copy_out(turned[0], channels, rows.row<decltype(zero)>(0) + i * rows.stride, 1);
      }
    });
  }
  const bool in_place = !streams && rows.is_plain() && channels == kLine<scalar_t> && rows.stride == 1 && count == kChunk;
  scalar_t* const to = in_place ? rows.row<scalar_t>(0) : turned[0];
  const int64_t stride = in_place ? rows.channel_stride : kChunk;
  for (int i = 0; i < count; i += n) {
    const bool inside = i + n <= count && reader.is_inside(i);
    line_t lines[n];
    if (inside) {
      STN_UNROLL
      for (int k = 0; k < n; ++k) lines[k] = reader.template at<true>(i + k);
    } else {
      STN_ROLL
      for (int k = 0; k < n; ++k) lines[k] = reader.template at<false>(std::min(i + k, count - 1));
    }
    STN_UNROLL
    for (int v = 0; v < line_t::kVectors; ++v) {
      vector_of<scalar_t> square[n];
      STN_UNROLL
      for (int k = 0; k < n; ++k) square[k] = lines[k].vector[v];
      transpose<scalar_t>(square);
      STN_UNROLL
      for (int k = 0; k < n; ++k) store_lanes(to + (v * n + k) * stride + i, square[k]);
    }
  }
  for (int k = 0; !in_place && k < channels; ++k) {
    streams ? stream_row(turned[k], rows, k, count) : store_row(turned[k], rows, k, count);
  }
}

/// Writes the terms' result for a block.
template <typename terms_t, typename scalar_t>
void read_block(const terms_t& terms, const LocationArray& result, const Block& block, const LineImage<scalar_t>& own_image,
                const scalar_t* own, const LineImage<scalar_t>& other_image, const scalar_t* other, bool streams) {
  const FillLines<scalar_t> own_fill(terms.own, block), other_fill(terms.other, block);
  const bool plain = terms.own && !terms.other && terms.own->image.data && !terms.own->fill.data;
  const int taps = terms.own ? terms.own->chunk.taps : terms.other ? terms.other->chunk.taps : 0;
  for (int line = 0, channel = 0; channel < block.channels; ++line, channel += kLine<scalar_t>) {
    const Rows rows = rows_of(result, terms.call.dtype, block.n, block.c + channel, block.location);
    const int in_line = block.in_line<scalar_t>(channel);
    const scalar_t *own_line = own + line * own_image.line_stride, *other_line = other + line * other_image.line_stride;
    with_taps(taps, [&](auto kind) {
      constexpr int kTaps = decltype(kind)::value;
      if (plain) {
        const LineReader<kTaps, true, terms_t> reader{terms, own_line, other_line, own_fill.at[line], other_fill.at[line]};
        write_lines<scalar_t>(reader, rows, in_line, block.count, streams);
      } else {
        const LineReader<kTaps, false, terms_t> reader{terms, own_line, other_line, own_fill.at[line], other_fill.at[line]};
        write_lines<scalar_t>(reader, rows, in_line, block.count, streams);
      }
    });
  }
}

/// Writes `lines` lines of what the image has at the chunk's locations to where they belong, `stride` elements apart: of images
/// and results that are lines both. All of a pixel is read at once.
template <int kTaps, bool kStreams, typename reader_t, typename scalar_t>
void copy_lines(const reader_t& reader, const scalar_t* data, int64_t lines, scalar_t* to, int64_t stride) {
  using line_t = Line<scalar_t>;
  const auto& chunk = reader.chunk;
  const int64_t elements = lines * kLine<scalar_t>;
  for (int i = 0; i < chunk.count; ++i) {
    const auto copy = [&](auto&& add_taps) __attribute__((always_inline)) {
      for (int64_t at = 0; at < elements; at += kLine<scalar_t>) {
        line_t sum = line_t::zeros();
        add_taps(at, sum);
        kStreams ? sum.stream(to + i * stride + at) : sum.store(to + i * stride + at);
      }
    };
    if (has_taps_at_once<kTaps>(chunk, i)) {
      const TapsOf<std::max(kTaps, 1), typename reader_t::chunk_t> taps(chunk, i, 0);
      copy([&](int64_t at, line_t& sum) __attribute__((always_inline)) {
        repeat<kTaps>(kTaps, [&](int t) __attribute__((always_inline)) {
          sum.add(taps.weight[t], line_t::load(data + taps.offset[t] + at));
        });
      });
    } else {
      copy([&](int64_t at, line_t& sum) __attribute__((always_inline)) {
        repeat<kTaps == 1>(chunk.taps, [&](int tap) __attribute__((always_inline)) {
          const auto offset = chunk.offsets[tap][i];
          if (offset >= 0) sum.add(chunk.weight(0, tap)[i], line_t::load(data + offset + at));
        });
      });
    }
  }
}

/// Of images that are lines already, all channels at a location. LocationUnits.
template <typename terms_t>
void read_lines_in_place(terms_t& terms, const LocationArray& result, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  using reader_t = typename terms_t::reader_t;
  constexpr int64_t kStep = kMostLines * kLine<scalar_t>;
  const SampleCall& call = terms.call;
  const bool streams = streams_result(call);
  LineImage<scalar_t> own(call, image_of(terms.own), call.dtype), other(call, image_of(terms.other), call.dtype);
  terms.set_strides(own.axis_stride, other.axis_stride);
  const LocationUnits units(call.locations, call.batch);
  const bool copies = terms.own && !terms.own->fill.data && !terms.other;
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, location, count] = units.at(unit);
    terms.go_to(n, location, count);
    for (int first = 0; first < count; first += kChunk) {
      const int some = std::min(kChunk, count - first);
      terms.take(first, some);
      const Rows rows = rows_of(result, call.dtype, n, 0, location + first);
      if (copies && rows.is_plain() && rows.channel_stride == 1) {
        const int64_t lines = call.channels / kLine<scalar_t>;
        scalar_t* to = rows.row<scalar_t>(0);
        with_taps(terms.own->chunk.taps, [&](auto taps) {
          constexpr int kTaps = decltype(taps)::value;
          const bool aligned = reinterpret_cast<uintptr_t>(to) % 64 == 0 && rows.stride % kLine<scalar_t> == 0;
          const auto copy =
              streams && aligned ? copy_lines<kTaps, true, reader_t, scalar_t> : copy_lines<kTaps, false, reader_t, scalar_t>;
          copy(*terms.own, own.read(n, 0, 0), lines, to, rows.stride);
        });
        continue;
      }
      for (int64_t c = 0; c < call.channels; c += kStep) {
        const Block block{n, c, location + first, static_cast<int>(std::min(kStep, call.channels - c)), some};
        read_block(terms, result, block, own, own.read(n, c, block.channels), other, other.read(n, c, block.channels), streams);
      }
    }
  }
}

/// Of copies as lines. LineBlocks.
template <typename terms_t>
void read_packed_lines(terms_t& terms, const LocationArray& result, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  const SampleCall& call = terms.call;
  const LineBlocks blocks(call);
  const bool streams = streams_result(call);
  LineImage<scalar_t> own(call, image_of(terms.own), call.dtype, blocks.lines);
  LineImage<scalar_t> other(call, image_of(terms.other), call.dtype, blocks.lines);
  terms.set_strides(own.axis_stride, other.axis_stride);
  for (int64_t number = begin; number < end; ++number) {
    const auto [n, c, channels] = blocks.at(number);
    const scalar_t *own_data = own.read(n, c, channels), *other_data = other.read(n, c, channels);
    for (int64_t location = 0; location < call.locations; location += kTile) {
      const int count = static_cast<int>(std::min<int64_t>(kTile, call.locations - location));
      terms.go_to(n, location, count);
      for (int first = 0; first < count; first += kChunk) {
        const int some = std::min(kChunk, count - first);
        terms.take(first, some);
        read_block(terms, result, {n, c, location + first, channels, some}, own, own_data, other, other_data, streams);
      }
    }
  }
}

}  // namespace
}  // namespace stn::cpu
