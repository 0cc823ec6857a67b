#pragma once
#include "transform.h"

namespace stn {

// A source says where a location samples the image, and takes the gradient of the coordinates back to its own parameters.

/// The coordinates stand in a tensor.
template <int kDims, typename scalar_t, typename index_t>
struct GridSource {
  static constexpr bool kSums = false;  // whether its gradient is a sum over locations

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

  STN_HOST_DEVICE bool wants_gradient() const { return grad_grid; }

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

/// A transform of the location's own position: AffineSource, ProjectiveSource and FlowSource in one, because a branch on the
/// call costs a kernel less than each kernel three times costs the build.
template <int kDims, typename scalar_t, typename index_t>
struct TransformSource {
  static constexpr bool kSums = true;

  Transform<kDims, scalar_t, index_t> transform;
  bool wanted;

  STN_HOST explicit TransformSource(const SampleCall& call) : transform(call.transform), wanted(call.wants_source_gradient()) {}

  STN_HOST_DEVICE bool wants_gradient() const { return wanted; }

  STN_HOST_DEVICE void coordinate(index_t n, index_t location, scalar_t (&result)[kDims]) const {
    transform.coordinate(n, location, result);
  }
};

/// Either, by a branch on the call: for the CPU, which asks once a tile.
template <int kDims, typename scalar_t, typename index_t>
struct AnySource {
  bool is_transform;
  GridSource<kDims, scalar_t, index_t> grid;
  TransformSource<kDims, scalar_t, index_t> own;

  STN_HOST explicit AnySource(const SampleCall& call) : is_transform(call.transform.exist()), grid(call), own(call) {}
};

}  // namespace stn
