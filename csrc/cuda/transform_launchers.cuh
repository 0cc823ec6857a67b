#pragma once
#include "../core/dispatch.h"
#include "gather_kernels.cuh"
#include "kernels.h"
#include "transform_grid_kernels.cuh"

// The launchers of what transforms have and grids don't. Transforms are 2-D and 3-D.

namespace stn::cuda {
namespace {

/// Calls f(an integral constant of the dims, a null pointer to the type of indices).
template <typename F>
void dispatch_transform(int dims, bool narrow, F&& f) {
  dispatch_dims(dims, [&](auto kind) {
    if constexpr (decltype(kind)::value > 1) {
      if (narrow) return f(kind, static_cast<int32_t*>(nullptr));
      f(kind, static_cast<int64_t*>(nullptr));
    }
  });
}

/// Padding is looked up at run time, so that these kernels are few.
template <typename storage_t>
int launch_gather(const SampleCall& call, void* stream) {
  int error = 0;
  const LaunchShape shape = shape_of(mapping_for(call.input_batch * call.pixels(), call.channels));
  dispatch_transform(call.dims, largest_index(call) < index_limit(), [&](auto dims, auto* type) {
    constexpr int kDims = decltype(dims)::value;
    using index_t = std::remove_pointer_t<decltype(type)>;
    using params_t = SampleParams<kDims, storage_t, index_t, TransformSource<kDims, accumulate_t<storage_t>, index_t>>;
    dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
      error = launch(&gather_grad_input_kernel<decltype(mode)::value, params_t>, shape, stream, params_t(call));
    });
  });
  return error;
}

template <typename storage_t>
int launch_transform_grid(const TransformGridCall& call, void* stream) {
  int error = 0;
  const LaunchShape shape{blocks_of(blocks_for(call.batch * call.transform.locations())), dim3(kThreads)};
  dispatch_transform(call.transform.dims, largest_index(call) < index_limit(), [&](auto dims, auto* type) {
    using params_t = TransformGridParams<decltype(dims)::value, storage_t, std::remove_pointer_t<decltype(type)>>;
    error = launch(&transform_grid_kernel<params_t>, shape, stream, params_t(call, 0));
  });
  return error;
}

template <typename storage_t>
int launch_transform_grid_backward(const TransformGridCall& call, void* stream) {
  int error = 0;
  const int64_t blocks = blocks_of_image(call);
  const LaunchShape shape{blocks_of(call.batch * blocks), dim3(kThreads)};
  dispatch_transform(call.transform.dims, largest_index(call) < index_limit(), [&](auto dims, auto* type) {
    using params_t = TransformGridParams<decltype(dims)::value, storage_t, std::remove_pointer_t<decltype(type)>>;
    error = launch(&transform_grid_backward_kernel<params_t>, shape, stream, params_t(call, blocks));
  });
  return error;
}

template <typename storage_t>
int launch_theta_sums(const TransformArrays& arrays, int64_t batch, int64_t blocks, void* stream) {
  int error = 0;
  const LaunchShape shape{blocks_of(batch), dim3(kThreads)};
  dispatch_transform(arrays.dims, false, [&](auto dims, auto*) {
    constexpr int kDims = decltype(dims)::value;
    const Transform<kDims, accumulate_t<storage_t>, int64_t> transform(arrays);
    error = launch(&theta_sum_kernel<kDims, storage_t>, shape, stream, transform, static_cast<storage_t*>(arrays.grad_theta),
                   blocks);
  });
  return error;
}

}  // namespace
}  // namespace stn::cuda
