#pragma once
#include "../core/dispatch.h"
#include "fill_kernels.cuh"
#include "kernels.h"
#include "sample_kernels.cuh"
#include "sorted_launchers.cuh"
#include "transform_launchers.cuh"

// The launchers of one dtype; kernels_<dtype>.cu instantiates them. The table of instantiations:
//
//   indices    bilinear, nearest                                              bicubic
//   32 bits    a kernel for every padding, one for run time (per axis, fill)  padding at run time
//   64 bits    padding at run time                                            padding at run time
//
// Forward and backward have them twice, for grids and for transforms, which are 2-D and 3-D.

namespace stn::cuda {
namespace {

// What is launched, as types: a kernel for each of a call's template arguments, and how many threads it wants.
struct Forward {
  static constexpr bool kOfTransforms = true;
  template <InterpolationMode kMode, typename Pad, typename params_t>
  static auto kernel() {
    return &grid_sample_kernel<kMode, Pad, params_t>;
  }
};
struct Backward {
  static constexpr bool kOfTransforms = true;
  template <InterpolationMode kMode, typename Pad, typename params_t>
  static auto kernel() {
    return &grid_sample_backward_kernel<kMode, Pad, params_t>;
  }
};
struct DoubleBackward {
  static constexpr bool kOfTransforms = false;
  template <InterpolationMode kMode, typename Pad, typename params_t>
  static auto kernel() {
    return &grid_sample_double_backward_kernel<kMode, Pad, params_t>;
  }
};

/// Launches What for this call, at the locations of `images`.
template <typename What, int kDims, typename storage_t, template <int, typename, typename> class Source>
int launch_with(const SampleCall& call, int64_t images, void* stream) {
  using scalar_t = accumulate_t<storage_t>;
  using Narrow = SampleParams<kDims, storage_t, int32_t, Source<kDims, scalar_t, int32_t>>;
  using Wide = SampleParams<kDims, storage_t, int64_t, Source<kDims, scalar_t, int64_t>>;
  int error = 0;
  const LaunchShape shape = location_shape(call, images);
  const bool narrow = largest_index(call) < index_limit();
  dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
    constexpr InterpolationMode kMode = decltype(mode)::value;
    if (!narrow) {
      error = launch(What::template kernel<kMode, RuntimePadding, Wide>(), shape, stream, Wide(call));
    } else {
      dispatch_padding<kMode>(call, [&](auto pad) {
        error = launch(What::template kernel<kMode, decltype(pad), Narrow>(), shape, stream, Narrow(call));
      });
    }
  });
  return error;
}

template <typename What, typename storage_t>
int launch_at_locations(const SampleCall& call, int64_t images, void* stream) {
  int error = 0;
  dispatch_dims(call.dims, [&](auto dims) {
    constexpr int kDims = decltype(dims)::value;
    if constexpr (What::kOfTransforms && kDims > 1) {
      if (call.transform.exist()) {
        error = launch_with<What, kDims, storage_t, TransformSource>(call, images, stream);
        return;
      }
    }
    error = launch_with<What, kDims, storage_t, GridSource>(call, images, stream);
  });
  return error;
}

template <typename storage_t>
int launch_forward(const SampleCall& call, void* stream) {
  return launch_at_locations<Forward, storage_t>(call, call.batch, stream);
}

template <typename What, typename storage_t>
int launch_backward(const SampleCall& call, void* stream) {
  return launch_at_locations<What, storage_t>(call, call.wants_source_gradient() ? call.grid_batch : call.batch, stream);
}

template <typename storage_t>
int launch_fill_gradient(const FillGradientCall& call, void* stream) {
  const LaunchShape shape{blocks_of(call.fill_batch * call.channels), dim3(kThreads)};
  if (largest_index(call) < index_limit()) {
    using params_t = FillGradientParams<storage_t, int32_t>;
    return launch(&fill_gradient_kernel<params_t>, shape, stream, params_t(call));
  }
  using params_t = FillGradientParams<storage_t, int64_t>;
  return launch(&fill_gradient_kernel<params_t>, shape, stream, params_t(call));
}

template <typename storage_t>
constexpr Kernels kKernelsOf{
    &launch_forward<storage_t>,
    &launch_backward<Backward, storage_t>,
    &launch_backward<DoubleBackward, storage_t>,
    location_keys_of<storage_t>(),
    &launch_sorted_grad_input<false, storage_t>,
    &launch_sorted_grad_input<true, storage_t>,
    &launch_fill_gradient<storage_t>,
    &launch_gather<storage_t>,
    &launch_transform_grid<storage_t>,
    &launch_transform_grid_backward<storage_t>,
    &launch_theta_sums<storage_t>,
};

}  // namespace
}  // namespace stn::cuda
