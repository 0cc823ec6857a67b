#pragma once
#include "padding.h"
#include "source.h"

namespace stn {

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
      axes[e].ends_read_beyond = readers_of(call.padding[e]) == Readers::kNearAndBeyond;
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
  index_t owners;       // of a source's gradient and all that is summed into it: the grid's batch; batch if it isn't wanted

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
        owners(static_cast<index_t>(call.wants_source_gradient() ? call.grid_batch : call.batch)) {}
};

}  // namespace stn
