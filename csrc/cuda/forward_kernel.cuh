#pragma once
#include "../core/sample.h"
#include "launch.h"

namespace stn::cuda {

/// One thread an output location of one image, all its channels: the plain mapping, right where channels are few.
/// grid: blocks_for(N * P); no shared memory. Reads input and the source, writes output.
template <InterpolationMode kMode, typename Pad, typename params_t>
__global__ void __launch_bounds__(kThreads) grid_sample_kernel(const params_t params) {
  using index_t = typename params_t::index_t;  // wide enough for every thread's number, see fits_32_bits
  const index_t i = static_cast<index_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= params.batch * params.locations) return;
  const index_t n = i / params.locations;
  sample_location<kMode, Pad>(params, Visit<index_t>{n, i - n * params.locations, 0, 1});
}

}  // namespace stn::cuda
