// The kernels that read and add lines of channels: for many channels; see choice.h. kSecond: along the tangents.
#pragma once
#include "line_gradients.inl"
#include "line_read.inl"

namespace stn::cpu {
namespace {

template <bool kSecond>
void line_read_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  const LocationArray& result = kSecond ? call.grad_grad_output : call.output;
  with_read_terms<false, kSecond>(call, [&](auto& terms) {
    if (choose_read(call) == Applier::kLines) {
      read_lines_in_place(terms, result, begin, end);
    } else {
      read_packed_lines(terms, result, begin, end);
    }
  });
  stream_fence();
}

template <bool kSecond>
void line_gradients_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  if (!call.wants_source_gradient()) {
    with_gradient_terms<false, kSecond, true, false>(call,
                                                     [&](auto& terms) { line_gradients<true, false>(terms, begin, end); });
  } else if (!call.grad_input.data) {
    with_gradient_terms<false, kSecond, false, true>(call,
                                                     [&](auto& terms) { line_gradients<false, true>(terms, begin, end); });
  } else {
    with_gradient_terms<false, kSecond, true, true>(call, [&](auto& terms) { line_gradients<true, true>(terms, begin, end); });
  }
  stream_fence();
}

void sum_line_groups_kernel(const SampleCall& call, int64_t begin, int64_t end) {
  with_gradient_terms<false, false, false, true>(call, [&](auto& terms) {
    using scalar_t = typename std::decay_t<decltype(terms)>::scalar_t;
    const int64_t groups = line_groups(call).groups, tiles = LocationUnits(call.locations, 1).count;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit / tiles * groups * call.dims * call.locations;
      take_groups(terms, static_cast<const scalar_t*>(call.scratch) + first, groups, unit);
    }
  });
}

}  // namespace
}  // namespace stn::cpu
