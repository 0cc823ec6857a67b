// Launches the forward kernels: the choice of index width and of instantiation.
#include "../core/dispatch.h"
#include "cuda.h"
#include "forward_kernel.cuh"

namespace stn::cuda {
namespace {

/// Whether every offset and every count of the call fits 32-bit indices, with room for taps outside and idle threads.
bool fits_32_bits(const SampleCall& call) {
  constexpr int64_t kLimit = INT32_MAX / 2;
  int64_t input = call.batch * call.input.batch_stride + call.channels * call.input.channel_stride;
  bool fits = call.batch * call.locations < kLimit;
  for (int e = 0; e < call.dims; ++e) {
    input += (call.size[e] + 8) * call.input.axis_stride[e];
    fits = fits && call.size[e] < kLimit;
  }
  const auto extent = [&](const LocationArray& array, int64_t components) {
    return call.batch * array.batch_stride + components * array.component_stride + call.locations * array.location_stride;
  };
  return fits && input < kLimit && extent(call.grid, call.dims) < kLimit && extent(call.output, call.channels) < kLimit;
}

template <typename params_t, InterpolationMode kMode, typename Pad>
int run(const SampleCall& call, void* stream) {
  const unsigned blocks = blocks_for(call.batch * call.locations);
  return launch(&grid_sample_kernel<kMode, Pad, params_t>, {blocks}, stream, params_t(call));
}

}  // namespace

int grid_sample(const SampleCall& call, void* stream) {
  int error = 0;
  dispatch_dims(call.dims, [&](auto dims) {
    dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
      constexpr InterpolationMode kMode = decltype(mode)::value;
      dispatch_padding<kMode>(call.padding, [&](auto pad) {
        dispatch_dtype(call.dtype, [&](auto zero) {
          using Pad = decltype(pad);
          using Narrow = SampleParams<decltype(dims)::value, decltype(zero), int32_t>;
          using Wide = SampleParams<decltype(dims)::value, decltype(zero), int64_t>;
          error = fits_32_bits(call) ? run<Narrow, kMode, Pad>(call, stream) : run<Wide, kMode, Pad>(call, stream);
        });
      });
    });
  });
  return error;
}

const char* error_string(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

}  // namespace stn::cuda
