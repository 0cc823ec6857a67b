#pragma once
#include "../core/sample.h"
#include "launch.h"
#include "mapping.h"
#include "theta_kernels.cuh"

namespace stn::cuda {

/// What this thread does, by a Mapping's block, of `images` times params.locations; `live` is false for the idle ones behind
/// the last location. Where the source's gradient is a sum, blocks are of one image each.
template <typename index_t>
struct ThreadVisit : Visit<index_t> {
  bool live;

  template <typename params_t>
  __device__ ThreadVisit(const params_t& params, index_t images) {
    const index_t columns = static_cast<index_t>(blockDim.x), block = static_cast<index_t>(blockIdx.x);
    if constexpr (params_t::Source::kSums) {
      const index_t blocks = (params.locations + columns - 1) / columns;
      this->n = block / blocks;
      this->location = (block - this->n * blocks) * columns + static_cast<index_t>(threadIdx.x);
      live = this->location < params.locations;
      if (!live) this->location = 0;
    } else {
      const index_t i = block * columns + static_cast<index_t>(threadIdx.x);
      live = i < images * params.locations;
      this->n = live ? i / params.locations : 0;
      this->location = live ? i - this->n * params.locations : 0;
    }
    this->channel = static_cast<index_t>(threadIdx.y);
    this->channel_step = static_cast<index_t>(blockDim.y);
  }
};

/// Other threads may be adding to the same element.
struct AddAtomically {
  template <typename scalar_t>
  __device__ void operator()(scalar_t* to, scalar_t value) const {
    atomicAdd(to, value);
  }
};

/// Sums the gradient of a location's coordinate over the rows that share its channels, in their order: row 0 has the result.
/// Every thread of the block has to call this.
template <typename scalar_t, int kDims>
__device__ void sum_over_rows(scalar_t (&gradient)[kDims]) {
  if (blockDim.y > 1) {
    STN_SHARED(scalar_t, partial, [kChannelRows][kThreads / kChannelRows][kDims]);
    for (int e = 0; e < kDims; ++e) partial[threadIdx.y][threadIdx.x][e] = gradient[e];
    __syncthreads();
    for (int row = 1; row < kChannelRows && threadIdx.y == 0; ++row) {
      for (int e = 0; e < kDims; ++e) gradient[e] += partial[row][threadIdx.x][e];
    }
  }
}

/// Takes the gradient of a location's coordinate to the source's parameters. Every thread of the block has to call this.
template <typename params_t>
__device__ void take_gradient(const params_t& params, const ThreadVisit<typename params_t::index_t>& at,
                              typename params_t::scalar_t (&gradient)[params_t::kDims]) {
  const bool stores = at.live && threadIdx.y == 0;
  if constexpr (params_t::Source::kSums) {
    const auto& transform = params.source.transform;
    if (transform.is_flow()) {
      sum_over_rows(gradient);
      if (stores) transform.store_grad_flow(at.n, at.location, gradient);
    } else {  // a sum over the block is one over its rows, too
      using scalar_t = typename params_t::scalar_t;
      constexpr int kDims = params_t::kDims;
      scalar_t position[kDims], rows[kDims + 1];
      double sum[Transform<kDims, scalar_t, typename params_t::index_t>::kEntries] = {};
      transform.position_of(at.location, position);
      transform.map_of(at.n).row_gradients(position, gradient, rows);
      transform.add_theta_gradient(rows, position, sum);
      store_partial(transform.partial, sum);
    }
  } else {
    sum_over_rows(gradient);
    if (stores) params.source.store_gradient(at.n, at.location, gradient);
  }
}

/// The blocks that a multiprocessor has to hold at once; 0 leaves it to ptxas, which then spills a few registers where that
/// makes room for one block more. Bicubic has more values that live long than that is worth: with 1 it keeps them.
template <InterpolationMode kMode>
constexpr int kMinBlocks = kMode == InterpolationMode::kBicubic ? 1 : 0;

// The kernels below: one thread a location, or kChannelRows of them, see Mapping. The launcher chooses blocks, no dynamic
// shared memory.

/// Reads input and the source, writes output.
template <InterpolationMode kMode, typename Pad, typename params_t>
__global__ void __launch_bounds__(kThreads, kMinBlocks<kMode>) grid_sample_kernel(const params_t params) {
  const ThreadVisit<typename params_t::index_t> at(params, params.batch);
  if (at.live) sample_location<kMode, Pad>(params, at);
}

/// The body of the next two: a thread owns an entry of grad_grid and visits the images that use it. `visit` is
/// sample_location_backward or what stands for it.
template <typename params_t, typename Visitor>
__device__ void visit_users(const params_t& params, Visitor visit) {
  const ThreadVisit<typename params_t::index_t> at(params, params.owners);
  typename params_t::scalar_t gradient[params_t::kDims] = {};
  Visit<typename params_t::index_t> user = at;
  if (at.live) {
    for (; user.n < params.batch; user.n += params.owners) visit(user, gradient);
  }
  if (params.source.wants_gradient()) take_gradient(params, at, gradient);
}

/// Reads grad_output, input and the source; adds to grad_input, writes the source's gradient.
template <InterpolationMode kMode, typename Pad, typename params_t>
__global__ void __launch_bounds__(kThreads, kMinBlocks<kMode>) grid_sample_backward_kernel(const params_t params) {
  visit_users(params, [&](const auto& at, auto& gradient) {
    sample_location_backward<kMode, Pad>(params, at, AddAtomically{}, gradient);
  });
}

/// The same with the tangents; writes grad_grad_output, too.
template <InterpolationMode kMode, typename Pad, typename params_t>
__global__ void __launch_bounds__(kThreads, kMinBlocks<kMode>) grid_sample_double_backward_kernel(const params_t params) {
  visit_users(params, [&](const auto& at, auto& gradient) {
    sample_location_double_backward<kMode, Pad>(params, at, AddAtomically{}, gradient);
  });
}

}  // namespace stn::cuda
