#pragma once
#include "padding.h"
#include "source.h"
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

/// [N, C], typed.
template <typename scalar_t, typename index_t>
struct Channels {
  scalar_t* data;
  index_t batch_stride, channel_stride;

  STN_HOST explicit Channels(const ChannelArray& array)
      : data(static_cast<scalar_t*>(array.data)),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.channel_stride)) {}

  STN_HOST_DEVICE scalar_t& at(index_t n, index_t c) const { return data[n * batch_stride + c * channel_stride]; }
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
  Channels<const scalar_t, index_t> fill;  // what taps outside read, where it isn't absent

  STN_HOST explicit SampleGeometry(const SampleCall& call) : source(call), fill(call.fill) {
    for (int e = 0; e < kDims; ++e) {
      axes[e] = Axis<scalar_t>::make(call.size[e], call.coordinates, call.padding[e]);
      axes[e].centre_takes_fill = call.fill.data && fill_rule(call.padding[e]) == Fill::kCentre;
    }
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
  Channels<const scalar_t, index_t> tangent_fill;
  index_t batch, channels, locations;
  index_t input_batch;  // batch, or 1: then all images read that one, and add to its gradient
  index_t owners;       // of an entry of grad_grid and all that is summed into it: the grid's batch; batch if it isn't wanted

  STN_HOST explicit SampleParams(const SampleCall& call)
      : Geometry(call),
        input(call.input),
        grad_input(call.grad_input),
        output(call.output),
        grad_output(call.grad_output),
        tangent_input(call.tangent_input),
        tangent_grid(call.tangent_grid),
        grad_grad_output(call.grad_grad_output),
        tangent_fill(call.tangent_fill),
        batch(static_cast<index_t>(call.batch)),
        channels(static_cast<index_t>(call.channels)),
        locations(static_cast<index_t>(call.locations)),
        input_batch(static_cast<index_t>(call.input_batch)),
        owners(static_cast<index_t>(call.grad_grid.data ? call.grid_batch : call.batch)) {}
};

}  // namespace stn
