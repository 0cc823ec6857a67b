#pragma once
#include "kernels.h"
#include "location_sort.h"
#include "sorted_kernels.cuh"

// The launchers of grad_input in a fixed order. Padding is looked up at run time, so that these kernels are few.

namespace stn::cuda {
namespace {

/// Calls f(a null pointer to the type of indices, dims, mode).
template <typename F>
void dispatch_sorted(const SampleCall& call, F&& f) {
  const bool narrow = largest_sorted_index(call) < index_limit();
  dispatch_dims(call.dims, [&](auto dims) {
    dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
      if (narrow) return f(static_cast<int32_t*>(nullptr), dims, mode);
      f(static_cast<int64_t*>(nullptr), dims, mode);
    });
  });
}

/// Keys and values of all locations in one of the sorts of the call's mode.
template <typename scalar_t>
int launch_location_keys(const SampleCall& call, int sort, void* keys, void* values, void* stream) {
  int error = 0;
  dispatch_sorted(call, [&](auto* type, auto dims, auto mode) {
    using params_t = KeyParams<decltype(dims)::value, scalar_t, std::remove_pointer_t<decltype(type)>>;
    const params_t params(call, images_of(call), bins_of(call), keys, values);
    const LaunchShape shape{blocks_of(blocks_for(call.batch * call.locations)), dim3(kThreads)};
    error = launch(&location_key_kernel<decltype(mode)::value, params_t>, shape, stream, params, sort);
  });
  return error;
}

/// The kernels of a 16-bit dtype have none: those of the dtype that is computed in serve it.
template <typename storage_t>
constexpr decltype(&launch_location_keys<float>) location_keys_of() {
  if constexpr (std::is_same_v<storage_t, accumulate_t<storage_t>>) return &launch_location_keys<storage_t>;
  return nullptr;
}

/// For each of the mode's sorts: keys, the sort, and the taps that it serves, one after another.
template <InterpolationMode kMode, bool kSecond, typename params_t>
int launch_sorts(const SampleCall& call, void* stream) {
  using OfMode = Bins<kMode, params_t::kDims>;
  const Kernels& computed = std::is_same_v<typename params_t::scalar_t, double> ? kKernelsDouble : kKernelsFloat;
  const params_t params(call);
  int error = 0;
  const LocationSort<typename params_t::index_t> locations(call, error);
  for (int sort = 0; sort < OfMode::kSorts && error == 0; ++sort) {
    auto pairs = locations.pairs(call.scratch);
    error = computed.location_keys(call, sort, pairs.keys[0], pairs.values[0], stream);
    if (error == 0) error = locations.sort(pairs, call.scratch, stream);
    const SortedLocations<typename params_t::index_t> sorted{pairs.keys[0], pairs.values[0], locations.count};
    for (int k = 0; k < OfMode::kTapsOfSort && error == 0; ++k) {
      error = launch(&sorted_grad_input_kernel<kMode, kSecond, params_t>, location_shape(call, call.batch), stream, params,
                     sorted, sort * OfMode::kTapsOfSort + k);
    }
  }
  return error;
}

/// grad_input alone, with as much memory at call.scratch as cuda.h says. In the second derivatives it comes from the tangent of
/// the grid, where weights have a slope.
template <bool kSecond, typename storage_t>
int launch_sorted_grad_input(const SampleCall& call, void* stream) {
  int error = 0;
  if (kSecond && !call.tangent_grid.data) return error;
  dispatch_sorted(call, [&](auto* type, auto dims, auto mode) {
    constexpr InterpolationMode kMode = decltype(mode)::value;
    if constexpr (!kSecond || Interpolation<kMode>::kDifferentiable) {
      using params_t = SampleParams<decltype(dims)::value, storage_t, std::remove_pointer_t<decltype(type)>>;
      error = launch_sorts<kMode, kSecond, params_t>(call, stream);
    }
  });
  return error;
}

}  // namespace
}  // namespace stn::cuda
