// The kernels that read and add in planes: any number of channels, a vector of locations at a time; see choice.h.
#pragma once
#include "plane_parts.inl"

namespace stn::cpu {
namespace {

/// Writes the terms' result. LocationUnits.
template <typename terms_t>
void read_planes(terms_t& terms, const LocationArray& result, int64_t begin, int64_t end) {
  using scalar_t = typename terms_t::scalar_t;
  const SampleCall& call = terms.call;
  const LocationUnits units(call.locations, call.batch);
  terms.set_strides(call.input.axis_stride, call.tangent_input.axis_stride);
  TermsPrefetcher prefetcher(terms);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, location, count] = units.at(unit);
    terms.go_to(n, location, count);
    for (int first = 0; first < count; first += kChunk) {
      const int some = std::min(kChunk, count - first);
      terms.take(first, some);
      prefetcher.ask(n, 0, call.channels);
      for (int64_t c = 0; c < call.channels; c += kMostPlanes) {
        const int channels = static_cast<int>(std::min<int64_t>(kMostPlanes, call.channels - c));
        const Rows rows = rows_of(result, call.dtype, n, c, location + first);
        if (some == kChunk && rows.stride == 1 && rows.is_plain()) {
          terms.read_channels(n, c, channels, rows.rows<scalar_t>());
          continue;
        }
        alignas(64) PlaneRows<scalar_t> sums;
        terms.read_channels(n, c, channels, {sums[0], kChunk});
        store_rows<scalar_t>(sums, rows, channels, some);
      }
    }
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
void plane_input_gradient_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, true, false>(call, [&](auto& terms) { input_gradient(terms, begin, end); });
}

template <bool kSecond>
void plane_gradients_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, true, true>(call, [&](auto& terms) { both_gradients(terms, begin, end); });
  stream_fence();
}

void tile_ranges_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_taps_only(call, [&](auto& terms) { tile_ranges(terms, begin, end); });
}

void mark_parts_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_taps_only(call, [&](auto& terms) { mark_parts(terms, begin, end); });
}

template <bool kSecond>
void part_gradients_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  if (call.wants_source_gradient()) {
    with_gradient_terms<true, kSecond, true, true>(call, [&](auto& terms) { part_gradients<true>(terms, begin, end); });
  } else {
    with_gradient_terms<true, kSecond, true, false>(call, [&](auto& terms) { part_gradients<false>(terms, begin, end); });
  }
  stream_fence();
}

template <bool kSecond>
void rest_of_parts_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<true, kSecond, true, false>(call, [&](auto& terms) { rest_of_parts(terms, begin, end); });
}

}  // namespace
}  // namespace stn::cpu
