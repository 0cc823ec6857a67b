// The gradients by lines of channels, a location at a time.
#pragma once
#include "line_chunk.inl"

namespace stn::cpu {
namespace {

/// Grad_output of a chunk's locations: lines that were made of its planes,
template <typename scalar_t>
struct TurnedLines {
  static constexpr int64_t kMost = kMostLines;
  alignas(64) scalar_t lines[kMostLines][kChunk][kLine<scalar_t>];

  TurnedLines(const Rows& rows, const Block& block) {
    for (int line = 0, channel = 0; channel < block.channels; ++line, channel += kLine<scalar_t>) {
      rows_to_lines(rows.from(channel, 0), block.in_line<scalar_t>(channel), block.count, lines[line][0], kLine<scalar_t>);
    }
  }
  STN_HOST const scalar_t* at(int line, int i) const { return lines[line][i]; }
};
/// or any number of lines as they are.
template <typename scalar_t>
struct LinesInPlace {
  static constexpr int64_t kMost = INT64_MAX;
  const scalar_t* first;
  int64_t stride;

  LinesInPlace(const Rows& rows, const Block&) : first(rows.row<const scalar_t>(0)), stride(rows.stride) {}
  STN_HOST const scalar_t* at(int line, int i) const { return first + i * stride + line * kLine<scalar_t>; }
};

/// The gradients of a chunk of locations.
template <bool kWantsInput, bool kWantsSource, typename terms_t>
struct LineGradients {
  using scalar_t = typename terms_t::scalar_t;
  using line_t = Line<scalar_t>;
  using vector_t = vector_of<scalar_t>;
  using dots_t = Dots<typename terms_t::reader_t::chunk_t>;

  const terms_t& terms;
  const Block& block;
  const LineImage<scalar_t>&own_image, &other_image, &grad_image;
  const scalar_t *own, *other;  // the images' data
  scalar_t* grad;               // grad_input's

  /// gradient[e]: of coordinate e at the block's first location.
  void add(bool in_place, scalar_t* const (&gradient)[kMaxDims]) const {
    in_place ? add_of<LinesInPlace<scalar_t>>(gradient) : add_of<TurnedLines<scalar_t>>(gradient);
  }

 private:
  template <typename cotangent_t>
  void add_of(scalar_t* const (&gradient)[kMaxDims]) const {
    const SampleCall& call = terms.call;
    const cotangent_t cotangent(rows_of(call.grad_output, call.dtype, block.n, block.c, block.location), block);
    dots_t own_dots, other_dots;
    if (terms.own) {
      with_taps(terms.own->chunk.taps, [&](auto taps) {
        with_lines<cotangent_t::kMost>(block.template lines<scalar_t>(), [&](auto lines) {
          visit_taps<decltype(taps)::value, decltype(lines)::value, kWantsInput>(*terms.own, own, own_image.line_stride,
                                                                                 cotangent, own_dots);
        });
      });
    }
    if (terms.other) {
      with_taps(terms.other->chunk.taps, [&](auto taps) {
        visit_taps<decltype(taps)::value, 0, false>(*terms.other, other, other_image.line_stride, cotangent, other_dots);
      });
    }
    if constexpr (!kWantsSource) return;
    if (terms.own && terms.own->fill.data) take_fill_dots(*terms.own, cotangent, own_dots);
    if (terms.other && terms.other->fill.data) take_fill_dots(*terms.other, cotangent, other_dots);
    for (int e = 0; e < call.dims; ++e) {
      alignas(64) Row<scalar_t> sum;
      clear(sum);
      if (terms.own) terms.own->weigh(own_dots, kWantsInput + e, sum);
      if (terms.other) terms.other->weigh(other_dots, kWantsInput + e, sum);
      for (int i = 0; i < block.count; ++i) gradient[e][i] += sum[i];
    }
  }

  /// At each tap, adds grad_output to grad_input's line, if kScatters, and makes the dot its product with the image's. kLines:
  /// of the block, or 0 for any number.
  template <int kTaps, int kLines, bool kScatters, typename reader_t, typename cotangent_t>
  void visit_taps(const reader_t& reader, const scalar_t* data, int64_t stride, const cotangent_t& cotangent,
                  dots_t& dots) const {
    if (!reader.image.data) return;
    constexpr int n = line_t::kVectorLanes;
    const auto& chunk = reader.chunk;
    // Copies, which the stores below can't change: they stay in registers.
    const int lines = block.template lines<scalar_t>(), taps = kTaps > 0 ? kTaps : chunk.taps, count = block.count;
    const int64_t grad_stride = grad_image.line_stride;
    scalar_t* const grad_data = grad;
    vector_t dot[kTaps > 0 ? kTaps : kMostTaps][n];
    for (int first = 0; first < count; first += n) {
      for (int k = 0; k < n; ++k) {
        const int i = first + k;
        const auto visit = [&](auto some, int tap) __attribute__((always_inline)) {
          constexpr int kCount = decltype(some)::value;
          const TapsOf<kCount, typename reader_t::chunk_t> at(chunk, i, tap);
          vector_t sum[kCount] = {};
          repeat<kLines>(lines, [&](int line) __attribute__((always_inline)) {
            const line_t g = line_t::load(cotangent.at(line, i));
            STN_UNROLL
            for (int t = 0; t < kCount; ++t) {
              if constexpr (kScatters) line_t::add_in_memory(at.weight[t], g, grad_data + at.offset[t] + line * grad_stride);
              if constexpr (kWantsSource) g.add_products(line_t::load(data + at.offset[t] + line * stride), sum[t]);
            }
          });
          STN_UNROLL
          for (int t = 0; kWantsSource && t < kCount; ++t) dot[tap + t][k] = sum[t];
        };
        if (i < count && has_taps_at_once<kTaps>(chunk, i)) {
          visit(std::integral_constant<int, std::max(kTaps, 1)>{}, 0);
          continue;
        }
        repeat<kTaps == 1>(taps, [&](int tap) __attribute__((always_inline)) {
          dot[tap][k] = vector_t{};
          if (i < count && chunk.offsets[tap][i] >= 0) visit(std::integral_constant<int, 1>{}, tap);
        });
      }
      for (int tap = 0; kWantsSource && tap < taps; ++tap) dots.set(tap, first, sum_lanes<scalar_t>(dot[tap]));
    }
  }

  /// Grad_output times the fill value of each channel.
  template <typename reader_t, typename cotangent_t>
  void take_fill_dots(const reader_t& reader, const cotangent_t& cotangent, dots_t& dots) const {
    constexpr int n = line_t::kVectorLanes;
    const int lines = block.template lines<scalar_t>(), count = block.count;
    const FillLines<scalar_t> fill(&reader, block);
    for (int first = 0; first < count; first += n) {
      vector_t dot[n];
      for (int k = 0; k < n; ++k) {
        const int i = std::min(first + k, count - 1);
        line_t sum = line_t::zeros();
        for (int line = 0; line < lines; ++line) sum.add(line_t::load(cotangent.at(line, i)), line_t::load(fill.at[line]));
        dot[k] = sum.sum_of_vectors();
      }
      dots.set_fill(first, sum_lanes<scalar_t>(dot));
    }
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
  const LineGroups groups = line_groups(call);
  const bool streams = streams_grad_input(call);
  const bool in_place = choose_gradients(call) == Applier::kLines;
  const bool cotangent_in_place = in_place && detail::is_of_lines(call, call.grad_output) && !call.fill.data &&
                                  !call.tangent_fill.data;  // which are kMostLines at most
  const int lines = in_place ? 0 : groups.lines;            // that are copied at a time
  const int64_t at_once = cotangent_in_place ? groups.all_lines : in_place ? kMostLines : lines;
  const int64_t step = at_once * kLine<scalar_t>, entries = call.dims * call.locations;
  LineImage<scalar_t> own(call, kWantsSource ? image_of(terms.own) : kNoImage, call.dtype, lines);
  LineImage<scalar_t> other(call, image_of(terms.other), call.dtype, lines);
  LineImage<scalar_t> grad(call, kWantsInput ? call.grad_input : kNoImage, computed_in(call.dtype), lines);
  terms.set_strides((kWantsSource ? own : grad).axis_stride, other.axis_stride);
  const bool has_parts = groups.groups > 1;
  Scratch<scalar_t> all;
  if (kWantsSource && !has_parts) all.reset(entries / kLine<scalar_t> + 1);
  for (int64_t number = begin; number < end; ++number) {
    const auto [n, first_channel, last_channel] = groups.at(number);
    if (kWantsInput && in_place) {
      clear_image<scalar_t>(call, call.grad_input, n, first_channel, last_channel);
    }
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
              .add(cotangent_in_place, gradient);
        }
      }
      grad.end_sum(n, c, channels, streams);
    }
    if (!kWantsSource || has_parts) continue;
    const int64_t tiles = LocationUnits(call.locations, 1).count;
    for (int64_t tile = 0; tile < tiles; ++tile) take_groups(terms, sums, 1, n * tiles + tile);
  }
}

}  // namespace
}  // namespace stn::cpu
