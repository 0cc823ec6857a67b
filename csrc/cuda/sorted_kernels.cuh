#pragma once
#include "../core/bins.h"
#include "launch.h"
#include "reduce.cuh"
#include "sort.h"

// grad_input in a fixed order: every location gets the key that names its pixels, a sort brings those of one key together, and
// then, a launch a tap, whoever finds the first location of a key adds up all of them. See NOTE [ Bins ]. Weights are formed
// again, which costs less than to move them; by the same function as the keys, so that a location on the border of two cells
// is in the same one both times.

namespace stn::cuda {

/// What location_key_kernel has: of a call only where its locations are, so that it is one for all dtypes that are computed in
/// scalar_t.
template <int kDims_, typename scalar_t_, typename index_t_>
struct KeyParams : SampleGeometry<kDims_, scalar_t_, index_t_, GridSource<kDims_, scalar_t_, index_t_>> {
  using Pairs = SortedPairs<index_t_>;
  using key_t = typename Pairs::key_t;

  index_t_ batch, locations, images;
  key_t bins;
  key_t* keys;       // [N * P]
  index_t_* values;  // [N * P], n * P + p

  STN_HOST KeyParams(const SampleCall& call, int64_t images, int64_t bins, void* keys, void* values)
      : SampleGeometry<kDims_, scalar_t_, index_t_, GridSource<kDims_, scalar_t_, index_t_>>(call),
        batch(static_cast<index_t_>(call.batch)),
        locations(static_cast<index_t_>(call.locations)),
        images(static_cast<index_t_>(images)),
        bins(static_cast<key_t>(bins)),
        keys(static_cast<key_t*>(keys)),
        values(static_cast<index_t_*>(values)) {}
};

template <typename params_t>
__device__ Visit<typename params_t::index_t> visit_of(const params_t& params, typename params_t::index_t location) {
  const auto n = location / params.locations;
  return {n, location - n * params.locations, 0, 0};
}

/// One thread a location: its bin in one of the sorts. blocks: of kThreads for N * P.
template <InterpolationMode kMode, typename params_t>
__global__ void __launch_bounds__(kThreads) location_key_kernel(const params_t params, const int sort) {
  using index_t = typename params_t::index_t;
  const index_t i = static_cast<index_t>(blockIdx.x) * kThreads + static_cast<index_t>(threadIdx.x);
  if (i >= params.batch * params.locations) return;
  const Visit<index_t> at = visit_of(params, i);
  const auto stencil = stencil_at<kMode, RuntimePadding, 0>(params, at);
  params.keys[i] = Bins<kMode, params_t::kDims>::of(stencil, params.axes, at.n % params.images, sort, params.bins);
  params.values[i] = i;
}

/// Locations in the order of their keys. A run is what has one key.
template <typename index_t>
struct SortedLocations {
  using key_t = typename SortedPairs<index_t>::key_t;

  const key_t* keys;
  const index_t* locations;  // n * P + p
  index_t count;

  __device__ bool starts_run(index_t i) const { return i < count && (i == 0 || keys[i - 1] != keys[i]); }
  __device__ bool in_run(index_t i, key_t key) const { return i < count && keys[i] == key; }
};

/// Adds to one pixel of grad_input, for the channels of this row, what the locations of the run at `first` give to it at a tap.
/// Nobody else adds to that pixel in this launch. `lanes` columns walk the run together: 1, or all of the block.
template <InterpolationMode kMode, bool kSecond, typename params_t>
__device__ void add_run(const params_t& params, const SortedLocations<typename params_t::index_t>& sorted, int tap,
                        typename params_t::index_t first, typename params_t::index_t lane, typename params_t::index_t lanes) {
  using index_t = typename params_t::index_t;
  using scalar_t = typename params_t::scalar_t;
  const auto key = sorted.keys[first];
  const Visit<index_t> owner = visit_of(params, sorted.locations[first]);
  const auto pixel = stencil_at<kMode, RuntimePadding, 0>(params, owner).only(tap);
  if (!pixel.inside(0)) return;  // as at every location of this run
  const index_t offset = pixel.offset(0, params.grad_input.axis_stride), rows = static_cast<index_t>(blockDim.y);
  for (index_t chunk = 0; chunk < params.channels; chunk += kChannelsAtOnce * rows) {
    const index_t channel = chunk + static_cast<index_t>(threadIdx.y);
    scalar_t sums[kChannelsAtOnce] = {};
    for (index_t i = first + lane; sorted.in_run(i, key); i += lanes) {
      const Visit<index_t> at = visit_of(params, sorted.locations[i]);
      const scalar_t factor = grad_input_factor<kMode, RuntimePadding, kSecond>(params, at, tap);
      scalar_t grad_output[kChannelsAtOnce];  // loaded by themselves, so that no sum stands between two loads
      STN_UNROLL
      for (int j = 0; j < kChannelsAtOnce; ++j) {
        const index_t c = channel + j * rows;
        grad_output[j] = c < params.channels ? params.grad_output.load(at.n, c, at.location) : scalar_t(0);
      }
      STN_UNROLL
      for (int j = 0; j < kChannelsAtOnce; ++j) sums[j] += grad_output[j] * factor;
    }
    if (lanes > 1) sum_over_columns(sums);
    if (lane > 0) continue;
    STN_UNROLL
    for (int j = 0; j < kChannelsAtOnce; ++j) {  // these loads, too
      const index_t c = channel + j * rows;
      if (c < params.channels) sums[j] += params.grad_input.plane(owner.n, c)[offset];
    }
    STN_UNROLL
    for (int j = 0; j < kChannelsAtOnce; ++j) {
      const index_t c = channel + j * rows;
      if (c < params.channels) params.grad_input.plane(owner.n, c)[offset] = sums[j];
    }
  }
}

/// Blocks that a multiprocessor has to hold at once: walking a run is waiting for memory. Left to itself ptxas spills for more.
template <typename scalar_t>
constexpr int kSortedMinBlocks = std::is_same_v<scalar_t, double> ? 2 : 3;

/// Runs of at least so many locations are walked by a whole block, so that a grid that gathers at few pixels is not left to few
/// threads. No two of them start within so many positions.
constexpr int kLongRun = 32;

/// Adds to grad_input what all locations give to it at one tap. Columns and rows of a block as in a Mapping, with positions in
/// sorted order in the place of locations: the column at the start of a run walks it, and then the block does its long ones.
template <InterpolationMode kMode, bool kSecond, typename params_t>
__global__ void __launch_bounds__(kThreads, kSortedMinBlocks<typename params_t::scalar_t>)
    sorted_grad_input_kernel(const params_t params, const SortedLocations<typename params_t::index_t> sorted, const int tap) {
  using index_t = typename params_t::index_t;
  const index_t columns = static_cast<index_t>(blockDim.x), column = static_cast<index_t>(threadIdx.x);
  const index_t i = static_cast<index_t>(blockIdx.x) * columns + column;
  STN_SHARED(index_t, long_runs, [kThreads / kLongRun]);
  index_t& long_run = long_runs[column / kLongRun];
  if (column % kLongRun == 0 && threadIdx.y == 0) long_run = sorted.count;  // none
  __syncthreads();
  const bool starts = sorted.starts_run(i), is_long = starts && sorted.in_run(i + kLongRun - 1, sorted.keys[i]);
  if (is_long && threadIdx.y == 0) long_run = i;
  __syncthreads();
  STN_ROLL
  for (int k = -1; k < columns / kLongRun; ++k) {  // one loop for both: add_run is half of the machine code
    const bool own = k < 0;
    const index_t first = own ? i : long_runs[k];
    if (own ? !starts || is_long : first == sorted.count) continue;
    add_run<kMode, kSecond>(params, sorted, tap, first, own ? 0 : column, own ? 1 : columns);
  }
}

}  // namespace stn::cuda
