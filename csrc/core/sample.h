#pragma once
#include "source.h"
#include "stencil.h"

namespace stn {

/// [N, C, *in], typed.
template <int kDims, typename element_t, typename index_t>
struct Image {
  element_t* data;
  index_t batch_stride, channel_stride;
  index_t axis_stride[kDims];

  STN_HOST explicit Image(const ImageArray& array)
      : data(static_cast<element_t*>(array.data)),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.channel_stride)) {
    for (int e = 0; e < kDims; ++e) axis_stride[e] = static_cast<index_t>(array.axis_stride[e]);
  }

  STN_HOST_DEVICE element_t* plane(index_t n, index_t c) const { return data + n * batch_stride + c * channel_stride; }
};

/// [N, C, P], typed.
template <typename element_t, typename index_t>
struct Locations {
  element_t* data;
  index_t batch_stride, channel_stride, location_stride;

  STN_HOST explicit Locations(const LocationArray& array)
      : data(static_cast<element_t*>(array.data)),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.component_stride)),
        location_stride(static_cast<index_t>(array.location_stride)) {}

  STN_HOST_DEVICE element_t* at(index_t n, index_t c, index_t location) const {
    return data + n * batch_stride + c * channel_stride + location * location_stride;
  }
};

/// A SampleCall as the kernels of one instantiation see it; by value, so that nvcc puts it into constant memory.
template <int kDims_, typename scalar_t_, typename index_t_, typename Source_ = GridSource<kDims_, scalar_t_, index_t_>>
struct SampleParams {
  static constexpr int kDims = kDims_;
  using scalar_t = scalar_t_;
  using index_t = index_t_;
  using Source = Source_;

  Source source;
  Axis<scalar_t> axes[kDims];
  Image<kDims, const scalar_t, index_t> input;
  Image<kDims, scalar_t, index_t> grad_input;
  Locations<scalar_t, index_t> output;
  Locations<const scalar_t, index_t> grad_output;
  Image<kDims, const scalar_t, index_t> tangent_input;
  Locations<const scalar_t, index_t> tangent_grid;  // [N, kDims, P]: a coordinate stands where a channel does
  Locations<scalar_t, index_t> grad_grad_output;
  index_t batch, channels, locations;

  STN_HOST explicit SampleParams(const SampleCall& call)
      : source(call),
        input(call.input),
        grad_input(call.grad_input),
        output(call.output),
        grad_output(call.grad_output),
        tangent_input(call.tangent_input),
        tangent_grid(call.tangent_grid),
        grad_grad_output(call.grad_grad_output),
        batch(static_cast<index_t>(call.batch)),
        channels(static_cast<index_t>(call.channels)),
        locations(static_cast<index_t>(call.locations)) {
    for (int e = 0; e < kDims; ++e) axes[e] = Axis<scalar_t>::make(call.size[e], call.coordinates, call.padding);
  }
};

/// The stencil of one location.
template <InterpolationMode kMode, typename Pad, int kOrder, typename params_t>
STN_HOST_DEVICE auto stencil_at(const params_t& params, typename params_t::index_t n, typename params_t::index_t location) {
  using scalar_t = typename params_t::scalar_t;
  scalar_t coordinate[params_t::kDims];
  params.source.coordinate(n, location, coordinate);
  return Stencil<params_t::kDims, kMode, Pad, kOrder, scalar_t, typename params_t::index_t>(coordinate, params.axes);
}

/// output[n, :, location]
template <InterpolationMode kMode, typename Pad, typename params_t>
STN_HOST_DEVICE void sample_location(const params_t& params, typename params_t::index_t n,
                                     typename params_t::index_t location) {
  using scalar_t = typename params_t::scalar_t;
  const auto stencil = stencil_at<kMode, Pad, 0>(params, n, location);
  for (typename params_t::index_t c = 0; c < params.channels; ++c) {
    const scalar_t* plane = params.input.plane(n, c);
    scalar_t sum = 0;
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (stencil.inside(tap)) sum += stencil.weight(tap) * plane[stencil.offset(tap, params.input.axis_stride)];
    });
    *params.output.at(n, c, location) = sum;
  }
}

/// Adds to grad_input[n, :, taps of location] through add(address, value), which is how a backend says whether somebody
/// else may be adding there; writes the gradient of the location's coordinate to the source. Either may be absent.
template <InterpolationMode kMode, typename Pad, typename params_t, typename Add>
STN_HOST_DEVICE void sample_location_backward(const params_t& params, typename params_t::index_t n,
                                              typename params_t::index_t location, Add add) {
  using scalar_t = typename params_t::scalar_t;
  constexpr int kDims = params_t::kDims;
  const auto stencil = stencil_at<kMode, Pad, 1>(params, n, location);
  scalar_t gradient[kDims] = {};
  for (typename params_t::index_t c = 0; c < params.channels; ++c) {
    const scalar_t grad_output = *params.grad_output.at(n, c, location);
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (!stencil.inside(tap)) return;
      if (params.grad_input.data) {
        add(params.grad_input.plane(n, c) + stencil.offset(tap, params.grad_input.axis_stride),
            grad_output * stencil.weight(tap));
      }
      if (Interpolation<kMode>::kDifferentiable && params.source.grad_grid) {
        const scalar_t pixel = params.input.plane(n, c)[stencil.offset(tap, params.input.axis_stride)];
        STN_UNROLL
        for (int e = 0; e < kDims; ++e) gradient[e] += grad_output * pixel * stencil.derivative(tap, e);
      }
    });
  }
  if (params.source.grad_grid) params.source.store_gradient(n, location, gradient);
}

}  // namespace stn
