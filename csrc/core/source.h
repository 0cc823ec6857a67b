#pragma once
#include "call.h"
#include "numeric.h"

namespace stn {

// A source says where a location samples the image, and takes the gradient of the coordinates back to its own parameters.

/// The coordinates stand in a tensor.
template <int kDims, typename scalar_t, typename index_t>
struct GridSource {
  const scalar_t* grid;  // [N, P, kDims]
  scalar_t* grad_grid;   // [N, P, kDims], or nullptr where it is not wanted
  index_t batch_stride, location_stride, component_stride;
  index_t grad_batch_stride, grad_location_stride, grad_component_stride;

  STN_HOST explicit GridSource(const SampleCall& call)
      : grid(static_cast<const scalar_t*>(call.grid.data)),
        grad_grid(static_cast<scalar_t*>(call.grad_grid.data)),
        batch_stride(static_cast<index_t>(call.grid.batch_stride)),
        location_stride(static_cast<index_t>(call.grid.location_stride)),
        component_stride(static_cast<index_t>(call.grid.component_stride)),
        grad_batch_stride(static_cast<index_t>(call.grad_grid.batch_stride)),
        grad_location_stride(static_cast<index_t>(call.grad_grid.location_stride)),
        grad_component_stride(static_cast<index_t>(call.grad_grid.component_stride)) {}

  STN_HOST_DEVICE void coordinate(index_t n, index_t location, scalar_t (&result)[kDims]) const {
    const scalar_t* at = grid + n * batch_stride + location * location_stride;
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) result[e] = at[e * component_stride];
  }

  /// Each location owns its entry, so this stores; it never adds.
  STN_HOST_DEVICE void store_gradient(index_t n, index_t location, const scalar_t (&gradient)[kDims]) const {
    scalar_t* at = grad_grid + n * grad_batch_stride + location * grad_location_stride;
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) at[e * grad_component_stride] = gradient[e];
  }
};

}  // namespace stn
