// Reading lines of channels, a location at a time.
#pragma once
#include "line_chunk.inl"

namespace stn::cpu {
namespace {

/// lines = (kAdds: +=) a line of what the reader's image has at the chunk's locations.
template <int kTaps, bool kAdds, typename reader_t, typename scalar_t>
void read_line(const reader_t& reader, const scalar_t* data, const scalar_t* fill, ChunkLines<scalar_t>& lines) {
  using line_t = Line<scalar_t>;
  const auto& chunk = reader.chunk;
  for (int i = 0; i < chunk.count; ++i) {
    line_t sum = kAdds ? line_t::load(lines.at[i]) : line_t::zeros();
    if (reader.image.data) {
      for_each_tap_inside<kTaps>(chunk, i, [&](int tap, auto offset) __attribute__((always_inline)) {
        sum.add(chunk.weight(0, tap)[i], line_t::load(data + offset));
      });
    }
    if (reader.fill.data && chunk.fill[0][i] != 0) sum.add(chunk.fill[0][i], line_t::load(fill));
    sum.store(lines.at[i]);
  }
}

/// Writes the terms' result for a block.
template <typename terms_t, typename scalar_t>
void read_block(const terms_t& terms, const LocationArray& result, const Block& block, const LineImage<scalar_t>& own_image,
                const scalar_t* own, const LineImage<scalar_t>& other_image, const scalar_t* other, bool streams) {
  const FillLines<scalar_t> own_fill(terms.own, block), other_fill(terms.other, block);
  ChunkLines<scalar_t> lines;
  for (int line = 0, channel = 0; channel < block.channels; ++line, channel += kLine<scalar_t>) {
    const auto read = [&](const auto* reader, const scalar_t* data, const scalar_t* fill, auto adds) {
      with_taps(reader->chunk.taps,
                [&](auto taps) { read_line<decltype(taps)::value, decltype(adds)::value>(*reader, data, fill, lines); });
    };
    const scalar_t *own_line = own + line * own_image.line_stride, *other_line = other + line * other_image.line_stride;
    if (terms.own) read(terms.own, own_line, own_fill.at[line], std::false_type{});
    if (terms.other && !terms.own) read(terms.other, other_line, other_fill.at[line], std::false_type{});
    if (terms.other && terms.own) read(terms.other, other_line, other_fill.at[line], std::true_type{});
    if (!terms.other && !terms.own) std::memset(lines.at, 0, sizeof lines.at);
    lines_to_rows(lines.at[0], kLine<scalar_t>, block.count,
                  rows_of(result, terms.call.dtype, block.n, block.c + channel, block.location),
                  block.in_line<scalar_t>(channel), streams);
  }
}

/// Writes `lines` lines of what the image has at the chunk's locations to where they belong, `stride` elements apart: of images
/// and results that are lines both. All of a pixel is read at once.
template <int kTaps, bool kStreams, typename reader_t, typename scalar_t>
void copy_lines(const reader_t& reader, const scalar_t* data, int64_t lines, scalar_t* to, int64_t stride) {
  using line_t = Line<scalar_t>;
  const auto& chunk = reader.chunk;
  for (int i = 0; i < chunk.count; ++i) {
    for (int64_t at = 0; at < lines * kLine<scalar_t>; at += kLine<scalar_t>) {
      line_t sum = line_t::zeros();
      for_each_tap_inside<kTaps>(chunk, i, [&](int tap, auto offset) __attribute__((always_inline)) {
        sum.add(chunk.weight(0, tap)[i], line_t::load(data + offset + at));
      });
      kStreams ? sum.stream(to + i * stride + at) : sum.store(to + i * stride + at);
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
