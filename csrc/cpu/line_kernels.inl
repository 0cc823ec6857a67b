// The kernels that read and add lines of channels: for many channels, a location at a time; see choice.h.
#pragma once
#include "packing.inl"
#include "terms.inl"

namespace stn::cpu {
namespace {

/// The locations of a chunk, from `location` on, with the channels from c on.
struct Block {
  int64_t n, c, location;
  int channels, count;

  /// What is left of the channels from `channel` on, in one line.
  template <typename scalar_t>
  STN_HOST int in_line(int channel) const {
    return std::min(kLine<scalar_t>, channels - channel);
  }
};

/// A line for each location of a chunk.
template <typename scalar_t>
struct alignas(64) ChunkLines {
  scalar_t at[kChunk][kLine<scalar_t>];
};

/// The channels of a reader's fill value as lines; zeros where it has none.
template <typename scalar_t>
struct FillLines {
  alignas(64) scalar_t at[kMostLines][kLine<scalar_t>] = {};

  template <typename reader_t>
  FillLines(const reader_t* reader, const Block& block) {
    if (!reader || !reader->fill.data) return;
    for (int k = 0; k < block.channels; ++k)
      at[k / kLine<scalar_t>][k % kLine<scalar_t>] = reader->fill.at(block.n, block.c + k);
  }
};

/// body(tap, offset) for the taps of location i that are inside.
template <int kTaps, typename chunk_t, typename Body>
STN_HOST void for_each_tap_inside(const chunk_t& chunk, int i, bool all, Body&& body) {
  if (all) {  // without branches
    repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) { body(tap, chunk.offsets[tap][i]); });
  } else {
    repeat<0>(chunk.taps, [&](int tap) __attribute__((always_inline)) {
      if (chunk.offsets[tap][i] >= 0) body(tap, chunk.offsets[tap][i]);
    });
  }
}

template <int kTaps, typename chunk_t>
STN_HOST bool is_inside(const chunk_t& chunk, int i) {
  auto signs = chunk.offsets[0][i];
  repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) { signs |= chunk.offsets[tap][i]; });
  return signs >= 0;
}

/// lines = (kAdds: +=) a line of what the reader's image has at the chunk's locations.
template <int kTaps, bool kAdds, typename reader_t, typename scalar_t>
void read_line(const reader_t& reader, const scalar_t* data, const scalar_t* fill, ChunkLines<scalar_t>& lines) {
  using line_t = Line<scalar_t>;
  const auto& chunk = reader.chunk;
  for (int i = 0; i < chunk.count; ++i) {
    line_t sum = kAdds ? line_t::load(lines.at[i]) : line_t::zeros();
    if (reader.image.data) {
      for_each_tap_inside<kTaps>(chunk, i, is_inside<kTaps>(chunk, i),
                                 [&](int tap, auto offset) __attribute__((always_inline)) {
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
                const scalar_t* own, const LineImage<scalar_t>& other_image, const scalar_t* other) {
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
                  block.in_line<scalar_t>(channel));
  }
}

/// Writes `lines` lines of what the image has at the chunk's locations to where they belong, `stride` elements apart: of images
/// and results that are lines both. All of a pixel is read at once.
template <int kTaps, typename reader_t, typename scalar_t>
void copy_lines(const reader_t& reader, const scalar_t* data, int64_t lines, scalar_t* to, int64_t stride) {
  using line_t = Line<scalar_t>;
  const auto& chunk = reader.chunk;
  for (int i = 0; i < chunk.count; ++i) {
    const bool inside = is_inside<kTaps>(chunk, i);
    for (int64_t at = 0; at < lines * kLine<scalar_t>; at += kLine<scalar_t>) {
      line_t sum = line_t::zeros();
      for_each_tap_inside<kTaps>(chunk, i, inside, [&](int tap, auto offset) __attribute__((always_inline)) {
        sum.add(chunk.weight(0, tap)[i], line_t::load(data + offset + at));
      });
      sum.store(to + i * stride + at);
    }
  }
}

const ImageArray kNoImage;

template <typename reader_t>
const ImageArray& image_of(const reader_t* reader) {
  return reader ? reader->image : kNoImage;
}

/// Of images that are lines already, all channels at a location. LocationUnits.
template <typename terms_t>
void read_lines_in_place(terms_t& terms, const LocationArray& result, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  constexpr int64_t kStep = kMostLines * kLine<scalar_t>;
  const SampleCall& call = terms.call;
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
        with_taps(terms.own->chunk.taps, [&](auto taps) {
          copy_lines<decltype(taps)::value>(*terms.own, own.read(n, 0, 0), lines, rows.row<scalar_t>(0), rows.stride);
        });
        continue;
      }
      for (int64_t c = 0; c < call.channels; c += kStep) {
        const Block block{n, c, location + first, static_cast<int>(std::min(kStep, call.channels - c)), some};
        read_block(terms, result, block, own, own.read(n, c, block.channels), other, other.read(n, c, block.channels));
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
        read_block(terms, result, {n, c, location + first, channels, some}, own, own_data, other, other_data);
      }
    }
  }
}

// ---- gradients --------------------------------------------------------------------------------------------------------------

/// The gradients of a chunk of locations.
template <bool kWantsInput, bool kWantsSource, typename terms_t>
struct LineGradients {
  using scalar_t = typename terms_t::scalar_t;
  using line_t = Line<scalar_t>;
  using sums_t = ChunkLines<scalar_t>[kMaxDims];  // of each axis of the source, to be added over the lanes

  const terms_t& terms;
  const Block& block;
  const LineImage<scalar_t>&own_image, &other_image, &grad_image;
  const scalar_t *own, *other;  // the images' data
  scalar_t* grad;               // grad_input's

  /// gradient[e]: of coordinate e at the block's first location.
  void add(scalar_t* const (&gradient)[kMaxDims]) const {
    const int dims = terms.call.dims;
    ChunkLines<scalar_t> cotangent[kMostLines];
    for (int line = 0, channel = 0; channel < block.channels; ++line, channel += kLine<scalar_t>) {
      rows_to_lines(rows_of(terms.call.grad_output, terms.call.dtype, block.n, block.c + channel, block.location),
                    block.in_line<scalar_t>(channel), block.count, cotangent[line].at[0], kLine<scalar_t>);
    }
    sums_t sums;
    if (kWantsSource) std::memset(sums, 0, sizeof sums[0] * static_cast<size_t>(dims));
    if (terms.own) {
      with_taps(terms.own->chunk.taps, [&](auto taps) {
        add_reader<decltype(taps)::value, kWantsInput>(*terms.own, own, own_image.line_stride, cotangent, sums);
      });
    }
    if (terms.other) {
      with_taps(terms.other->chunk.taps, [&](auto taps) {
        add_reader<decltype(taps)::value, false>(*terms.other, other, other_image.line_stride, cotangent, sums);
      });
    }
    for (int e = 0; kWantsSource && e < dims; ++e) add_sums(sums[e], block.count, gradient[e]);
  }

 private:
  template <int kTaps, bool kScatters, typename reader_t>
  void add_reader(const reader_t& reader, const scalar_t* data, int64_t stride, const ChunkLines<scalar_t>* cotangent,
                  sums_t& sums) const {
    const FillLines<scalar_t> fill(&reader, block);
    const auto& chunk = reader.chunk;
    const int lines = (block.channels + kLine<scalar_t> - 1) / kLine<scalar_t>;
    for (int i = 0; i < block.count; ++i) {
      const bool inside = is_inside<kTaps>(chunk, i);
      line_t dot[kTaps > 0 ? kTaps : kMostTaps], fill_dot = {};  // grad_output times the pixels
      if (kWantsSource) repeat<kTaps>(chunk.taps, [&](int tap) __attribute__((always_inline)) { dot[tap] = line_t::zeros(); });
      for (int line = 0; line < lines; ++line) {
        const line_t g = line_t::load(cotangent[line].at[i]);
        if (reader.image.data) {
          for_each_tap_inside<kTaps>(chunk, i, inside, [&](int tap, auto offset) __attribute__((always_inline)) {
            if constexpr (kScatters) {
              scalar_t* to = grad + offset + line * grad_image.line_stride;
              line_t sum = line_t::load(to);
              sum.add(chunk.weight(0, tap)[i], g);
              sum.store(to);
            }
            if constexpr (kWantsSource) dot[tap].add(g, line_t::load(data + offset + line * stride));
          });
        }
        if (kWantsSource && reader.fill.data) fill_dot.add(g, line_t::load(fill.at[line]));
      }
      for (int e = 0; kWantsSource && e < terms.call.dims; ++e) {
        line_t sum = line_t::load(sums[e].at[i]);
        for_each_tap_inside<kTaps>(chunk, i, inside, [&](int tap, auto) __attribute__((always_inline)) {
          sum.add(chunk.weight(kScatters + e, tap)[i], dot[tap]);
        });
        const bool fills = reader.fill.data && chunk.fill[kScatters + e][i] != 0;
        if (fills) sum.add(chunk.fill[kScatters + e][i], fill_dot);
        sum.store(sums[e].at[i]);
      }
    }
  }

  /// total[i] += the sum of line i's lanes, in their order.
  static void add_sums(const ChunkLines<scalar_t>& lines, int count, scalar_t* total) {
    alignas(64) scalar_t rows[kLine<scalar_t>][kChunk];
    alignas(64) Row<scalar_t> sums = {};
    transpose_lines(lines.at[0], kLine<scalar_t>, kChunk, rows[0], kChunk);
    for (int k = 0; k < kLine<scalar_t>; ++k) {
      for (int i = 0; i < kChunk; ++i) sums[i] += rows[k][i];
    }
    for (int i = 0; i < count; ++i) total[i] += sums[i];
  }
};

/// The source's gradient for a tile, from the sums of its image's groups: [groups, dims, locations].
template <typename terms_t>
void take_groups(const terms_t& terms, const typename terms_t::scalar_t* sums, int64_t groups, int64_t unit) {
  const SampleCall& call = terms.call;
  const auto [n, location, count] = LocationUnits(call.locations, call.batch).at(unit);
  TileOf<kMaxDims, typename terms_t::scalar_t> gradient = {};
  for (int64_t group = 0; group < groups; ++group) {
    for (int e = 0; e < call.dims; ++e) {
      const auto* from = sums + (group * call.dims + e) * call.locations + location;
      for (int i = 0; i < count; ++i) gradient[e][i] += from[i];
    }
  }
  terms.take_source_gradient(unit, n, location, count, gradient);
}

/// The gradients of a group of channels: of grad_input all, of the source's what these channels contribute, which is a sum
/// beside those of other groups at call.scratch; or all of it, if there is one group. LineGroups.
template <bool kWantsInput, bool kWantsSource, typename terms_t>
void line_gradients(terms_t& terms, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  const SampleCall& call = terms.call;
  const LineGroups groups(call);
  const bool in_place = choose_gradients(call) == Applier::kLines;
  const int lines = in_place ? 0 : groups.lines;  // that are copied at a time
  const int64_t step = int64_t(in_place ? kMostLines : lines) * kLine<scalar_t>, entries = call.dims * call.locations;
  LineImage<scalar_t> own(call, kWantsSource ? image_of(terms.own) : kNoImage, call.dtype, lines);
  LineImage<scalar_t> other(call, image_of(terms.other), call.dtype, lines);
  LineImage<scalar_t> grad(call, kWantsInput ? call.grad_input : kNoImage, computed_in(call.dtype), lines);
  terms.set_strides((kWantsSource ? own : grad).axis_stride, other.axis_stride);
  const bool has_parts = groups.groups > 1;
  Scratch<scalar_t> all;
  if (kWantsSource && !has_parts) all.reset(entries / kLine<scalar_t> + 1);
  for (int64_t number = begin; number < end; ++number) {
    const auto [n, first_channel, last_channel] = groups.at(number);
    scalar_t* sums = has_parts ? static_cast<scalar_t*>(call.scratch) + number * entries : all.line(0);
    if (kWantsSource) std::memset(sums, 0, static_cast<size_t>(entries) * sizeof(scalar_t));
    for (int64_t c = first_channel; c < last_channel; c += step) {
      const int channels = static_cast<int>(std::min(step, last_channel - c));
      const scalar_t *own_data = own.read(n, c, channels), *other_data = other.read(n, c, channels);
      scalar_t* grad_data = grad.begin_sum(n, c, channels);
      for (int64_t location = 0; location < call.locations; location += kTile) {
        const int count = static_cast<int>(std::min<int64_t>(kTile, call.locations - location));
        terms.go_to(n, location, count);
        for (int first = 0; first < count; first += kChunk) {
          const Block block{n, c, location + first, channels, std::min(kChunk, count - first)};
          terms.take(first, block.count);
          scalar_t* gradient[kMaxDims] = {};
          for (int e = 0; e < call.dims; ++e) gradient[e] = sums + e * call.locations + block.location;
          LineGradients<kWantsInput, kWantsSource, terms_t>{terms, block, own, other, grad, own_data, other_data, grad_data}
              .add(gradient);
        }
      }
      grad.end_sum(n, c, channels);
    }
    if (!kWantsSource || has_parts) continue;
    const int64_t tiles = LocationUnits(call.locations, 1).count;
    for (int64_t tile = 0; tile < tiles; ++tile) take_groups(terms, sums, 1, n * tiles + tile);
  }
}

// ---- the kernels of an instruction set; kSecond: along the tangents ---------------------------------------------------------

template <bool kSecond>
void line_read_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  const LocationArray& result = kSecond ? call.grad_grad_output : call.output;
  with_read_terms<false, kSecond>(call, [&](auto& terms) {
    if (choose_read(call) == Applier::kLines) return read_lines_in_place(terms, result, begin, end);
    read_packed_lines(terms, result, begin, end);
  });
}

template <bool kSecond>
void line_gradients_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  if (!call.wants_source_gradient()) {
    return with_gradient_terms<false, kSecond, true, false>(
        call, [&](auto& terms) { line_gradients<true, false>(terms, begin, end); });
  }
  if (!call.grad_input.data) {
    return with_gradient_terms<false, kSecond, false, true>(
        call, [&](auto& terms) { line_gradients<false, true>(terms, begin, end); });
  }
  with_gradient_terms<false, kSecond, true, true>(call, [&](auto& terms) { line_gradients<true, true>(terms, begin, end); });
}

void sum_line_groups_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<false, false, false, true>(call, [&](auto& terms) {
    using scalar_t = typename std::decay_t<decltype(terms)>::scalar_t;
    const int64_t groups = LineGroups(call).groups, tiles = LocationUnits(call.locations, 1).count;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit / tiles * groups * call.dims * call.locations;
      take_groups(terms, static_cast<const scalar_t*>(call.scratch) + first, groups, unit);
    }
  });
}

}  // namespace
}  // namespace stn::cpu
