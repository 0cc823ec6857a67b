#pragma once
#include "source.h"
#include "stencil.h"
#include "storage.h"

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

/// [N, C, P], typed. A 16-bit one may be widened, by a branch on the call: nobody wants twice the kernels for it.
template <typename storage_t, typename index_t>
struct Locations {
  using scalar_t = accumulate_t<storage_t>;
  static constexpr bool kMayBeWidened = !std::is_same<storage_t, scalar_t>::value;

  void* data;
  index_t batch_stride, channel_stride, location_stride;
  bool widened;

  STN_HOST explicit Locations(const LocationArray& array)
      : data(array.data),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.component_stride)),
        location_stride(static_cast<index_t>(array.location_stride)),
        widened(array.widened) {}

  STN_HOST_DEVICE scalar_t load(index_t n, index_t c, index_t location) const {
    const index_t at = offset(n, c, location);
    if (kMayBeWidened && widened) return static_cast<const scalar_t*>(data)[at];
    return widen(static_cast<const storage_t*>(data)[at]);
  }

  STN_HOST_DEVICE void store(index_t n, index_t c, index_t location, scalar_t value) const {
    const index_t at = offset(n, c, location);
    if (kMayBeWidened && widened) {
      static_cast<scalar_t*>(data)[at] = value;
    } else {
      static_cast<storage_t*>(data)[at] = narrow<storage_t>(value);
    }
  }

 private:
  STN_HOST_DEVICE index_t offset(index_t n, index_t c, index_t location) const {
    return n * batch_stride + c * channel_stride + location * location_stride;
  }
};

/// Where a call's locations sample: what their stencils are made of, whatever the image is stored in.
template <int kDims_, typename scalar_t_, typename index_t_, typename Source_>
struct SampleGeometry {
  static constexpr int kDims = kDims_;
  using scalar_t = scalar_t_;
  using index_t = index_t_;
  using Source = Source_;

  Source source;
  Axis<scalar_t> axes[kDims];

  STN_HOST explicit SampleGeometry(const SampleCall& call) : source(call) {
    for (int e = 0; e < kDims; ++e) axes[e] = Axis<scalar_t>::make(call.size[e], call.coordinates, call.padding);
  }
};

/// A SampleCall as the kernels of one instantiation see it; by value, so that nvcc puts it into constant memory.
template <int kDims_, typename storage_t_, typename index_t_,
          typename Source_ = GridSource<kDims_, accumulate_t<storage_t_>, index_t_>>
struct SampleParams : SampleGeometry<kDims_, accumulate_t<storage_t_>, index_t_, Source_> {
  using Geometry = SampleGeometry<kDims_, accumulate_t<storage_t_>, index_t_, Source_>;
  static constexpr int kDims = kDims_;
  using storage_t = storage_t_;
  using scalar_t = accumulate_t<storage_t>;
  using index_t = index_t_;

  Image<kDims, const storage_t, index_t> input;
  Image<kDims, scalar_t, index_t> grad_input;
  Locations<storage_t, index_t> output;
  Locations<storage_t, index_t> grad_output;
  Image<kDims, const storage_t, index_t> tangent_input;
  Locations<scalar_t, index_t> tangent_grid;  // [N, kDims, P]: a coordinate stands where a channel does
  Locations<storage_t, index_t> grad_grad_output;
  index_t batch, channels, locations;

  STN_HOST explicit SampleParams(const SampleCall& call)
      : Geometry(call),
        input(call.input),
        grad_input(call.grad_input),
        output(call.output),
        grad_output(call.grad_output),
        tangent_input(call.tangent_input),
        tangent_grid(call.tangent_grid),
        grad_grad_output(call.grad_grad_output),
        batch(static_cast<index_t>(call.batch)),
        channels(static_cast<index_t>(call.channels)),
        locations(static_cast<index_t>(call.locations)) {}
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
    const auto* plane = params.input.plane(n, c);
    scalar_t sum = 0;
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (stencil.inside(tap)) sum += stencil.weight(tap) * widen(plane[stencil.offset(tap, params.input.axis_stride)]);
    });
    params.output.store(n, c, location, sum);
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
    const scalar_t grad_output = params.grad_output.load(n, c, location);
    for_each_tap<stencil.kTaps>([&](int tap) {
      if (!stencil.inside(tap)) return;
      if (params.grad_input.data) {
        add(params.grad_input.plane(n, c) + stencil.offset(tap, params.grad_input.axis_stride),
            grad_output * stencil.weight(tap));
      }
      if (Interpolation<kMode>::kDifferentiable && params.source.grad_grid) {
        const scalar_t pixel = widen(params.input.plane(n, c)[stencil.offset(tap, params.input.axis_stride)]);
        STN_UNROLL
        for (int e = 0; e < kDims; ++e) gradient[e] += grad_output * pixel * stencil.derivative(tap, e);
      }
    });
  }
  if (params.source.grad_grid) params.source.store_gradient(n, location, gradient);
}

}  // namespace stn
