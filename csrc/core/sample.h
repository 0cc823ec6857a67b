#pragma once
#include "params.h"
#include "stencil.h"

namespace stn {

// What happens at one output location, for plain loops and for CUDA's threads: a stencil, looped over channels.
// (csrc/cpu keeps the stencils of a tile of locations instead, and loops over its locations.)

/// What one visitor does: a location of image n, and of the channels `channel` and every `channel_step`-th from there.
template <typename index_t>
struct Visit {
  index_t n, location, channel, channel_step;
};

template <InterpolationMode kMode, typename Pad, int kOrder, typename params_t>
STN_HOST_DEVICE auto stencil_at(const params_t& params, const Visit<typename params_t::index_t>& at) {
  using scalar_t = typename params_t::scalar_t;
  scalar_t coordinate[params_t::kDims];
  params.source.coordinate(at.n, at.location, coordinate);
  return Stencil<params_t::kDims, kMode, Pad, kOrder, scalar_t, typename params_t::index_t>(coordinate, params.axes);
}

/// A weight times what it weighs. A fill value is left out where it weighs nothing: it may be NaN, to mark what is outside.
template <typename scalar_t>
STN_HOST_DEVICE scalar_t weighed(int, scalar_t weight, scalar_t value) {
  return weight * value;
}
template <typename scalar_t>
STN_HOST_DEVICE scalar_t weighed(FillTap, scalar_t weight, scalar_t value) {
  return weight != scalar_t(0) ? weight * value : scalar_t(0);
}

/// Whether taps outside read a fill value; else they read nothing. A branch on the call.
template <typename Pad, typename params_t>
STN_HOST_DEVICE bool reads_fill(const params_t& params) {
  return Pad::kMayFill && params.fill.data;
}

/// output[n, channels, location]
template <InterpolationMode kMode, typename Pad, typename params_t>
STN_HOST_DEVICE void sample_location(const params_t& params, const Visit<typename params_t::index_t>& at) {
  using scalar_t = typename params_t::scalar_t;
  const auto stencil = stencil_at<kMode, Pad, 0>(params, at);
  for (typename params_t::index_t c = at.channel; c < params.channels; c += at.channel_step) {
    const auto* plane = params.input.plane(at.n, c);
    scalar_t sum = 0;
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (stencil.inside(tap)) sum += stencil.weight(tap) * widen(plane[stencil.offset(tap, params.input.axis_stride)]);
    });
    if (reads_fill<Pad>(params)) sum += weighed(FillTap{}, stencil.weight(FillTap{}), params.fill.at(at.n, c));
    params.output.store(at.n, c, at.location, sum);
  }
}

/// Adds to grad_input[n, channels, taps of location] through add(address, value), which is how a backend says whether somebody
/// else may be adding there, and to `gradient`, that of the location's coordinate. What is absent is left out.
template <InterpolationMode kMode, typename Pad, typename params_t, typename Add>
STN_HOST_DEVICE void sample_location_backward(const params_t& params, const Visit<typename params_t::index_t>& at, Add add,
                                              typename params_t::scalar_t (&gradient)[params_t::kDims]) {
  using scalar_t = typename params_t::scalar_t;
  const bool wants_grid = Interpolation<kMode>::kDifferentiable && params.source.wants_gradient();
  const auto stencil = stencil_at<kMode, Pad, 1>(params, at);
  for (typename params_t::index_t c = at.channel; c < params.channels; c += at.channel_step) {
    const scalar_t grad_output = params.grad_output.load(at.n, c, at.location);
    const auto add_to_gradient = [&](auto tap, scalar_t pixel) {
      STN_UNROLL
      for (int e = 0; e < params_t::kDims; ++e) gradient[e] += weighed(tap, stencil.derivative(tap, e), grad_output * pixel);
    };
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (!stencil.inside(tap)) return;
      if (params.grad_input.data) {
        add(params.grad_input.plane(at.n, c) + stencil.offset(tap, params.grad_input.axis_stride),
            grad_output * stencil.weight(tap));
      }
      if (wants_grid) {
        add_to_gradient(tap, widen(params.input.plane(at.n, c)[stencil.offset(tap, params.input.axis_stride)]));
      }
    });
    if (wants_grid && reads_fill<Pad>(params)) add_to_gradient(FillTap{}, params.fill.at(at.n, c));
  }
}

/// The second derivatives (csrc/README.md) with the tangents of input, fill and the location's coordinate: writes
/// grad_grad_output[n, channels, location], and adds as sample_location_backward does. What is absent is left out.
template <InterpolationMode kMode, typename Pad, typename params_t, typename Add>
STN_HOST_DEVICE void sample_location_double_backward(const params_t& params, const Visit<typename params_t::index_t>& at,
                                                     Add add, typename params_t::scalar_t (&gradient)[params_t::kDims]) {
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims;
  constexpr bool kBends = Interpolation<kMode>::kDifferentiable;
  const bool wants_grid = kBends && params.source.wants_gradient();
  scalar_t tangent[kDims] = {};
  STN_UNROLL
  for (int e = 0; e < kDims; ++e) {
    if (kBends && params.tangent_grid.data) tangent[e] = params.tangent_grid.load(at.n, e, at.location);
  }
  const auto stencil = stencil_at<kMode, Pad, kBends ? 2 : 0>(params, at);
  for (typename params_t::index_t c = at.channel; c < params.channels; c += at.channel_step) {
    const scalar_t grad_output = params.grad_output.data ? params.grad_output.load(at.n, c, at.location) : scalar_t(0);
    scalar_t sum = 0;
    const auto add_tangent = [&](auto tap, scalar_t moved) {
      sum += weighed(tap, stencil.weight(tap), moved);
      if constexpr (kBends) {
        if (!wants_grid) return;
        STN_UNROLL
        for (int e = 0; e < kDims; ++e) gradient[e] += weighed(tap, stencil.derivative(tap, e), grad_output * moved);
      }
    };
    const auto add_slope = [&](auto tap, scalar_t slope, scalar_t pixel) {
      sum += weighed(tap, slope, pixel);
      if constexpr (kBends) {
        if (!wants_grid) return;
        STN_UNROLL
        for (int e = 0; e < kDims; ++e) {
          scalar_t bend = 0;
          STN_UNROLL
          for (int f = 0; f < kDims; ++f) bend += tangent[f] * stencil.second_derivative(tap, e, f);
          gradient[e] += weighed(tap, bend, grad_output * pixel);
        }
      }
    };
    const auto slope_of = [&](auto tap) {  // of the weight, along the tangent
      scalar_t slope = 0;
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) slope += tangent[e] * stencil.derivative(tap, e);
      return slope;
    };
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (!stencil.inside(tap)) return;
      if (params.tangent_input.data) {
        const auto offset = stencil.offset(tap, params.tangent_input.axis_stride);
        add_tangent(tap, widen(params.tangent_input.plane(at.n, c)[offset]));
      }
      if constexpr (kBends) {
        if (!params.tangent_grid.data) return;
        const scalar_t slope = slope_of(tap);
        add_slope(tap, slope, widen(params.input.plane(at.n, c)[stencil.offset(tap, params.input.axis_stride)]));
        if (params.grad_input.data) {
          add(params.grad_input.plane(at.n, c) + stencil.offset(tap, params.grad_input.axis_stride), grad_output * slope);
        }
      }
    });
    if (reads_fill<Pad>(params)) {
      if (params.tangent_fill.data) add_tangent(FillTap{}, params.tangent_fill.at(at.n, c));
      if constexpr (kBends) {
        if (params.tangent_grid.data) add_slope(FillTap{}, slope_of(FillTap{}), params.fill.at(at.n, c));
      }
    }
    if (params.grad_grad_output.data) params.grad_grad_output.store(at.n, c, at.location, sum);
  }
}

}  // namespace stn
