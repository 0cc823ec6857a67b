#pragma once
#include "../core/dispatch.h"
#include "affine_grid_kernels.cuh"
#include "fill_kernels.cuh"
#include "kernels.h"
#include "sample_kernels.cuh"
#include "sorted_launchers.cuh"

// The launchers of one dtype; kernels_<dtype>.cu instantiates them. The table of instantiations:
//
//   indices    bilinear, nearest                                              bicubic
//   32 bits    a kernel for every padding, one for run time (per axis, fill)  padding at run time
//   64 bits    padding at run time                                            padding at run time

namespace stn::cuda {
namespace {

// What is launched, as types: a kernel for each of a call's template arguments, and how many threads it wants.
struct Forward {
  template <InterpolationMode kMode, typename Pad, typename params_t>
  static auto kernel() {
    return &grid_sample_kernel<kMode, Pad, params_t>;
  }
};
struct Backward {
  template <InterpolationMode kMode, typename Pad, typename params_t>
  static auto kernel() {
    return &grid_sample_backward_kernel<kMode, Pad, params_t>;
  }
};
struct DoubleBackward {
  template <InterpolationMode kMode, typename Pad, typename params_t>
  static auto kernel() {
    return &grid_sample_double_backward_kernel<kMode, Pad, params_t>;
  }
};

/// Launches What for this call, at the locations of `images`.
template <typename What, typename storage_t>
int launch_at_locations(const SampleCall& call, int64_t images, void* stream) {
  int error = 0;
  const LaunchShape shape = location_shape(call, images);
  const bool narrow = largest_index(call) < index_limit();
  dispatch_dims(call.dims, [&](auto dims) {
    using Narrow = SampleParams<decltype(dims)::value, storage_t, int32_t>;
    using Wide = SampleParams<decltype(dims)::value, storage_t, int64_t>;
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
  });
  return error;
}

template <typename storage_t>
int launch_forward(const SampleCall& call, void* stream) {
  return launch_at_locations<Forward, storage_t>(call, call.batch, stream);
}

template <typename What, typename storage_t>
int launch_backward(const SampleCall& call, void* stream) {
  return launch_at_locations<What, storage_t>(call, call.grad_grid.data ? call.grid_batch : call.batch, stream);
}

/// Calls f(a null pointer to the call's AffineGridParams).
template <typename storage_t, typename F>
void with_affine_grid_params(const AffineGridCall& call, F&& f) {
  const bool narrow = largest_index(call) < index_limit();
  dispatch_dims(call.dims, [&](auto dims) {
    constexpr int kDims = decltype(dims)::value;
    if (narrow) return f(static_cast<AffineGridParams<kDims, storage_t, int32_t>*>(nullptr));
    f(static_cast<AffineGridParams<kDims, storage_t, int64_t>*>(nullptr));
  });
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
int launch_affine_grid(const AffineGridCall& call, void* stream) {
  int error = 0;
  with_affine_grid_params<storage_t>(call, [&](auto* type) {
    using params_t = std::remove_pointer_t<decltype(type)>;
    const LaunchShape shape{blocks_of(blocks_for(call.batch * locations_of(call))), dim3(kThreads)};
    error = launch(&affine_grid_kernel<params_t>, shape, stream, params_t(call, 0));
  });
  return error;
}

template <typename storage_t>
int launch_affine_grid_backward(const AffineGridCall& call, void* stream) {
  int error = 0;
  with_affine_grid_params<storage_t>(call, [&](auto* type) {
    using params_t = std::remove_pointer_t<decltype(type)>;
    const params_t params(call, chunks_of(call));
    const LaunchShape chunks{blocks_of(call.batch * chunks_of(call)), dim3(kThreads)};
    const LaunchShape images{blocks_of(call.batch), dim3(kThreads)};
    error = launch(&affine_grid_partial_kernel<params_t>, chunks, stream, params);
    if (error == 0) error = launch(&affine_grid_sum_kernel<params_t>, images, stream, params);
  });
  return error;
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
    &launch_affine_grid<storage_t>,
    &launch_affine_grid_backward<storage_t>,
};

}  // namespace
}  // namespace stn::cuda
