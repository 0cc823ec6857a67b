#pragma once
#include "../core/gather.h"
#include "launch.h"
#include "reduce.cuh"

namespace stn::cuda {

/// Writes one pixel of grad_input, for the channels of this row. `lanes` columns look for its locations together: 1, or all of
/// the block, which then has to call this.
template <InterpolationMode kMode, typename params_t>
__device__ void gather_pixel(const params_t& params, const Gather<kMode, params_t>& gather, typename params_t::index_t image,
                             typename params_t::index_t lane, typename params_t::index_t lanes) {
  using index_t = typename params_t::index_t;
  using scalar_t = typename params_t::scalar_t;
  index_t offset = 0;
  STN_UNROLL
  for (int e = 0; e < params_t::kDims; ++e) offset += gather.pixel[e] * params.grad_input.axis_stride[e];
  const index_t rows = static_cast<index_t>(blockDim.y);
  for (index_t chunk = 0; chunk < params.channels; chunk += kChannelsAtOnce * rows) {
    const index_t channel = chunk + static_cast<index_t>(threadIdx.y);
    scalar_t sums[kChannelsAtOnce] = {};
    for (index_t n = image; n < params.batch; n += params.input_batch) {
      gather.visit(n, lane, lanes, [&](index_t location, scalar_t weight) {
        STN_UNROLL
        for (int j = 0; j < kChannelsAtOnce; ++j) {
          const index_t c = channel + j * rows;
          if (c < params.channels) sums[j] += params.grad_output.load(n, c, location) * weight;
        }
      });
    }
    if (lanes > 1) sum_over_columns(sums);
    if (lane > 0) continue;
    STN_UNROLL
    for (int j = 0; j < kChannelsAtOnce; ++j) {
      const index_t c = channel + j * rows;
      if (c < params.channels) params.grad_input.plane(image, c)[offset] = sums[j];
    }
  }
}

/// A pixel of the images of grad_input, by its number.
template <InterpolationMode kMode, typename params_t>
__device__ Gather<kMode, params_t> gather_of(const params_t& params, typename params_t::index_t number,
                                             typename params_t::index_t& image) {
  using index_t = typename params_t::index_t;
  Gather<kMode, params_t> gather{params, {}};
  STN_UNROLL
  for (int e = 0; e < params_t::kDims; ++e) {
    const index_t size = static_cast<index_t>(params.axes[e].size), next = number / size;
    gather.pixel[e] = number - next * size;
    number = next;
  }
  image = number;
  return gather;
}

/// Pixels with so many candidates are left to a whole block: theta magnifies much, or has no inverse.
constexpr int kManyCandidates = 1024;

/// Writes grad_input, without atomics. Columns and rows of a block as in a Mapping, with pixels of grad_input in the place of
/// locations: each column does its own, and then the block those that have many locations, one after another.
template <InterpolationMode kMode, typename params_t>
__global__ void __launch_bounds__(kThreads, 1) gather_grad_input_kernel(const params_t params) {
  using index_t = typename params_t::index_t;
  const index_t columns = static_cast<index_t>(blockDim.x), column = static_cast<index_t>(threadIdx.x);
  index_t pixels = params.input_batch;
  STN_UNROLL
  for (int e = 0; e < params_t::kDims; ++e) pixels *= static_cast<index_t>(params.axes[e].size);
  const index_t begin = static_cast<index_t>(blockIdx.x) * columns;
  STN_SHARED(unsigned char, has_many, [kThreads]);
  const bool live = begin + column < pixels;
  index_t image = 0;
  const auto own = gather_of<kMode>(params, live ? begin + column : 0, image);
  if (threadIdx.y == 0) {
    const auto users = static_cast<typename params_t::scalar_t>(params.batch / params.input_batch);
    has_many[column] = live && own.candidates(image) * users > kManyCandidates;
  }
  __syncthreads();
  STN_ROLL
  for (index_t k = -1; k < columns; ++k) {  // one loop for both: gather_pixel is most of the machine code
    const bool mine = k < 0;
    if (mine ? !live || has_many[column] : !has_many[k]) continue;
    const auto gather = gather_of<kMode>(params, mine ? begin + column : begin + k, image);
    gather_pixel(params, gather, image, mine ? 0 : column, mine ? 1 : columns);
  }
}

}  // namespace stn::cuda
