#pragma once
#include <cstddef>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "call.h"
#include "interpolation.h"
#include "padding.h"
#include "storage.h"

namespace stn {

// From run-time values to template arguments, on the host, in one place. `dispatch` folds over a list of modes.h, so a new
// mode is dispatched as soon as it stands in its list. Values were checked by the operators.

namespace detail {

template <const auto& kList, typename enum_t, typename F, std::size_t... kIndex>
STN_HOST bool dispatch_any(enum_t value, F&& f, std::index_sequence<kIndex...>) {
  return ((value == kList[kIndex].value && (f(std::integral_constant<enum_t, kList[kIndex].value>{}), true)) || ...);
}

}  // namespace detail

/// Calls f(std::integral_constant<enum_t, value>{}).
template <const auto& kList, typename enum_t, typename F>
STN_HOST void dispatch(enum_t value, F&& f) {
  using indices = std::make_index_sequence<std::extent_v<std::remove_reference_t<decltype(kList)>>>;
  if (!detail::dispatch_any<kList>(value, f, indices{})) throw std::invalid_argument("a mode that no list of modes.h has");
}

/// Calls f(std::integral_constant<int, dims>{}).
template <typename F>
STN_HOST void dispatch_dims(int dims, F&& f) {
  switch (dims) {
    case 1:
      return f(std::integral_constant<int, 1>{});
    case 2:
      return f(std::integral_constant<int, 2>{});
    case 3:
      return f(std::integral_constant<int, 3>{});
  }
  throw std::invalid_argument("a number of spatial axes that is not built");
}

/// Whether the axes are padded alike and without a fill value.
STN_HOST bool has_plain_padding(const SampleCall& call) {
  bool alike = true;
  for (int e = 1; e < call.dims; ++e) alike &= call.padding[e] == call.padding[0];
  return alike && !call.fill.data;
}

/// Calls f(a Padding<mode>{} or RuntimePadding{}): what a kernel of interpolation mode kMode is instantiated for. A mode that
/// pads its taps has too much code to have it once a padding; fill values and axes of their own would multiply all.
template <InterpolationMode kMode, typename F>
STN_HOST void dispatch_padding(const SampleCall& call, F&& f) {
  if constexpr (Interpolation<kMode>::kPadsCoordinate) {
    if (has_plain_padding(call)) {
      return dispatch<kPaddingModes>(call.padding[0], [&](auto mode) { f(Padding<decltype(mode)::value>{}); });
    }
  }
  f(RuntimePadding{});
}

/// Calls f(a value of the type that elements are stored in).
template <typename F>
STN_HOST void dispatch_dtype(ScalarType dtype, F&& f) {
  switch (dtype) {
    case ScalarType::kHalf:
      return f(Half{});
    case ScalarType::kBFloat16:
      return f(BFloat16{});
    case ScalarType::kFloat:
      return f(float{});
    case ScalarType::kDouble:
      return f(double{});
  }
}

}  // namespace stn
