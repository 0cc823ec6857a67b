// The choice of an instantiation.
#pragma once
#include "../core/dispatch.h"
#include "choice.h"
#include "kernels.h"
#include "transform.inl"

namespace stn::cpu {
namespace {

/// What a kernel is compiled for: all that an image may be stored in, wherever the coordinates come from.
template <int kDims_, typename scalar_t_, InterpolationMode kMode_, typename Lanes_>
struct Kind {
  static constexpr int kDims = kDims_;
  static constexpr InterpolationMode kMode = kMode_;
  static constexpr bool kDifferentiable = Interpolation<kMode>::kDifferentiable;
  using scalar_t = scalar_t_;
  using Lanes = Lanes_;
  using offset_t = typename Lanes::offset_t;
  using geometry_t = SampleGeometry<kDims, scalar_t, int64_t, AnySource<kDims, scalar_t, int64_t>>;
  using strides_t = int64_t[kDims];
};

/// Calls body with the call's Kind. kAnySize: planes may be too large for 32-bit offsets.
template <bool kAnySize, typename Body>
STN_HOST void with_kind(const SampleCall& call, Body&& body) {
  dispatch_dims(call.dims, [&](auto dims) {
    dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
      constexpr int kDims = decltype(dims)::value;
      constexpr InterpolationMode kMode = decltype(mode)::value;
      if (call.dtype == ScalarType::kDouble) {
        body(Kind<kDims, double, kMode, WideLanes<double>>{});
      } else if (!kAnySize || fits_32_bits(call)) {
        body(Kind<kDims, float, kMode, WideLanes<float>>{});
      } else if constexpr (kAnySize) {
        body(Kind<kDims, float, kMode, SingleLane<float>>{});
      }
    });
  });
}

}  // namespace
}  // namespace stn::cpu
