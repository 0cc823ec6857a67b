#pragma once
#include "parts.h"

namespace stn::cpu {

// Which kernels serve a call: a function of sizes, strides and dtype alone, but for one that doesn't change a bit. README.md of
// csrc has the table, tests/test_choice.py its rows.

/// Channels from which lines may be worth it.
constexpr int64_t kLeastLineChannels = 8;

enum class Applier {
  kPlanes,       // a vector of locations at a time, of some channels
  kPackedLines,  // an image is copied to lines of channels first
  kLines,        // a pixel's channels are lines already
};

STN_HOST bool has_same_planes(const SampleCall& call, const ImageArray& a, const ImageArray& b) {
  for (int e = 0; e < call.dims; ++e) {
    if (call.size[e] > 1 && a.axis_stride[e] != b.axis_stride[e]) return false;
  }
  return true;
}

/// Whether offsets into one plane of the image fit the 32-bit lanes of WideLanes<float>: positions with room for taps
/// outside, and the extent so that no sum with a kOutside reaches 0.
STN_HOST bool fits_32_bits(const SampleCall& call, const ImageArray& image) {
  int64_t extent = 0;
  for (int e = 0; e < call.dims; ++e) {
    if (call.size[e] >= INT32_MAX / 2) return false;
    extent += (call.size[e] + 8) * image.axis_stride[e];
  }
  return extent < (int64_t(1) << 29);
}
/// ... of all images that the call has.
STN_HOST bool fits_32_bits(const SampleCall& call) {
  return fits_32_bits(call, call.input) && fits_32_bits(call, call.tangent_input) && fits_32_bits(call, call.grad_input);
}

namespace detail {

/// An absent image is no obstacle. `dtype`: of its elements.
STN_HOST bool is_of_lines(const SampleCall& call, const ImageArray& image, ScalarType dtype) {
  if (!image.data) return true;
  return dtype == computed_in(dtype) && image.channel_stride == 1 && call.channels % line_length(call) == 0;
}

/// ... grad_output.
STN_HOST bool is_of_lines(const SampleCall& call, const LocationArray& array) {
  return call.dtype == computed_in(call.dtype) && array.component_stride == 1 && call.channels % line_length(call) == 0;
}

STN_HOST bool has_pixels_side_by_side(const ImageArray& image) { return !image.data || image.axis_stride[0] == 1; }

STN_HOST Applier choose_lines(const SampleCall& call, int64_t worth) {
  if (call.channels < kLeastLineChannels || !fits_32_bits(call)) return Applier::kPlanes;
  const ScalarType computed = computed_in(call.dtype);
  bool lines = is_of_lines(call, call.input, call.dtype) && is_of_lines(call, call.tangent_input, call.dtype);
  lines = lines && is_of_lines(call, call.grad_input, computed);
  lines = lines && (!call.grad_input.data || has_same_planes(call, call.input, call.grad_input));
  if (lines) return Applier::kLines;
  int64_t pixels = 1;
  for (int e = 0; e < call.dims; ++e) pixels *= call.size[e] + 8;
  const bool worthwhile = pixels < (int64_t(1) << 24) && worth * call.locations >= pixels;
  return worthwhile ? Applier::kPackedLines : Applier::kPlanes;
}

}  // namespace detail

/// For an output or its tangent. Too few channels for a whole line are read faster in planes, if pixels are side by side there.
STN_HOST Applier choose_read(const SampleCall& call) {
  const bool side_by_side = detail::has_pixels_side_by_side(call.input) && detail::has_pixels_side_by_side(call.tangent_input);
  if (side_by_side && call.channels < line_length(call)) return Applier::kPlanes;
  return detail::choose_lines(call, 8);
}

/// For the gradients.
STN_HOST Applier choose_gradients(const SampleCall& call) {
  const bool source = call.wants_source_gradient();
  if (source && (call.grid_batch != call.batch || call.mode == InterpolationMode::kNearest)) return Applier::kPlanes;
  if (call.input_batch != call.batch) return Applier::kPlanes;
  return detail::choose_lines(call, 32);
}

/// How the gradients are cut, by lines.
STN_HOST LineGroups line_groups(const SampleCall& call) { return LineGroups(call, choose_gradients(call) == Applier::kLines); }

/// Whether planes can take both gradients in one pass: a location is prepared once, which is least work.
STN_HOST bool can_take_both(const SampleCall& call) {
  return call.wants_source_gradient() && call.grad_input.data && call.mode != InterpolationMode::kNearest &&
         call.input_batch == call.batch && call.grid_batch == call.batch && has_same_planes(call, call.input, call.grad_input);
}
/// Whether that pass writes the output's tangent, too, in a double backward: it has the pixels in hand.
STN_HOST bool can_read_beside(const SampleCall& call) {
  return can_take_both(call) && choose_gradients(call) == Applier::kPlanes && choose_read(call) == Applier::kPlanes;
}
/// Whether it takes an image a unit, if that are units enough. Sums have the same order in both ways, so this may ask for the
/// threads.
STN_HOST bool takes_both_by_image(const SampleCall& call) {
  constexpr int64_t kDearer = 3;  // times the work of one pass, to prefer idle threads; 2.7 was measured of an older way in two
  return can_take_both(call) && kDearer * call.batch >= call.threads;
}

/// Whether so many elements are more than the caches keep until somebody reads them: lines are then written past these, and
/// nothing is read from memory to be overwritten. About half the last cache of a server.
STN_HOST bool streams(int64_t elements, ScalarType dtype) {
  constexpr int64_t kKept = int64_t(1) << 24;
  return elements * element_size(dtype) > kKept;
}
STN_HOST bool streams_result(const SampleCall& call) {
  return streams(call.batch * call.channels * call.locations, call.dtype);
}
STN_HOST bool streams_grad_input(const SampleCall& call) {
  return streams(call.input_batch * call.channels * call.pixels(), computed_in(call.dtype));
}

namespace detail {

STN_HOST int64_t scratch_of(const SampleCall& call) {
  if (choose_gradients(call) != Applier::kPlanes) {
    const LineGroups groups = line_groups(call);
    const bool has_parts = call.wants_source_gradient() && groups.groups > 1;
    return has_parts ? groups.count * call.locations * call.dims * element_size(computed_in(call.dtype)) : 0;
  }
  const LocationParts parts(call);
  return call.grad_input.data && parts.parts > 1 ? parts.bytes() : 0;
}

}  // namespace detail

/// Bytes that the gradients want at call.scratch. One of them may turn out to be zeros and be left out (launch.cpp), and the
/// rest be chosen other kernels for: enough for that, too.
STN_HOST int64_t gradients_scratch(const SampleCall& call) {
  SampleCall source = call;
  source.grad_input = {};
  return std::max({detail::scratch_of(call), detail::scratch_of(source), detail::scratch_of(call.without_source_gradient())});
}

}  // namespace stn::cpu
