#pragma once
#include <algorithm>

#include "../core/call.h"

// How a call is spread over threads and how wide its indices are: pure functions of sizes and strides.

namespace stn::cuda {

constexpr int kThreads = 256;  // of a block

/// Blocks for one thread each. A launch takes 2^31 - 1 of them: 5e11 threads, beyond any memory.
inline int64_t blocks_for(int64_t threads) { return (threads + kThreads - 1) / kThreads; }

/// A thread does one location: all channels of it (one row), or, where locations alone are too few threads for a GPU, every
/// kChannelRows-th one. The rows of a location are threads of one block, which can sum over them.
struct Mapping {
  int columns, rows;  // of a block: locations, and threads that share a location's channels
  int64_t blocks;
};

constexpr int kChannelRows = 8;

inline Mapping mapping_for(int64_t locations, int64_t channels) {
  constexpr int64_t kManyLocations = 1 << 17;  // about the threads that the largest GPUs hold at once
  const int rows = channels >= kChannelRows && locations < kManyLocations ? kChannelRows : 1;
  const int columns = kThreads / rows;
  return {columns, rows, (locations + columns - 1) / columns};
}

/// The same where a block's locations are of one image, whose gradient is a sum: blocks of each image, with these columns.
inline int64_t blocks_of_image(const SampleCall& call, int64_t images) {
  const int columns = mapping_for(images * call.locations, call.channels).columns;
  return (call.locations + columns - 1) / columns;
}

/// Elements from an array's first one to behind its last one, with room for taps outside the image.
inline int64_t extent_of(const ImageArray& array, const SampleCall& call) {
  if (!array.data) return 0;
  int64_t extent = call.batch * array.batch_stride + call.channels * array.channel_stride;
  for (int e = 0; e < call.dims; ++e) extent += (call.size[e] + 8) * array.axis_stride[e];
  return extent;
}

inline int64_t extent_of(const LocationArray& array, int64_t batch, int64_t components, int64_t locations) {
  if (!array.data) return 0;
  return batch * array.batch_stride + components * array.component_stride + locations * array.location_stride;
}

/// A theta may be a view of something large.
inline int64_t extent_of_theta(const TransformArrays& transform, const int64_t (&stride)[3], int64_t batch) {
  return batch * stride[0] + (transform.dims + 1) * (stride[1] + stride[2]);
}

/// The largest index or count that a call needs, idle threads not counted.
inline int64_t largest_index(const SampleCall& call) {
  int64_t largest = std::max(call.batch * call.locations, call.channels);
  for (int e = 0; e < call.dims; ++e) largest = std::max(largest, call.size[e]);
  for (const ImageArray* image : {&call.input, &call.grad_input, &call.tangent_input})
    largest = std::max(largest, extent_of(*image, call));
  for (const LocationArray* array : {&call.output, &call.grad_output, &call.grad_grad_output})
    largest = std::max(largest, extent_of(*array, call.batch, call.channels, call.locations));
  const TransformArrays& transform = call.transform;
  for (const LocationArray* array : {&call.grid, &call.grad_grid, &call.tangent_grid, &transform.flow, &transform.grad_flow})
    largest = std::max(largest, extent_of(*array, call.batch, call.dims, call.locations));
  for (const ChannelArray* array : {&call.fill, &call.tangent_fill})
    largest = std::max(largest, call.batch * array->batch_stride + call.channels * array->channel_stride);
  return std::max({largest, extent_of_theta(transform, transform.theta_stride, call.batch), call.input_batch * call.pixels()});
}

inline int64_t largest_index(const FillGradientCall& call) {
  const int64_t values = call.fill_batch * call.grad_fill.batch_stride + call.channels * call.grad_fill.channel_stride;
  return std::max({values, call.batch * call.channels, call.batch * call.locations,
                   extent_of(call.grad_output, call.batch, call.channels, call.locations),
                   extent_of(call.weight, call.batch, 1, call.locations)});
}

inline int64_t largest_index(const TransformGridCall& call) {
  const TransformArrays& transform = call.transform;
  const int64_t locations = transform.locations(), dims = transform.dims;
  int64_t largest = std::max(call.batch * locations, extent_of(call.grid, call.batch, dims, locations));
  for (const LocationArray* array : {&transform.flow, &transform.tangent_flow, &transform.grad_flow})
    largest = std::max(largest, extent_of(*array, call.batch, dims, locations));
  return std::max({largest, extent_of_theta(transform, transform.theta_stride, call.batch),
                   extent_of_theta(transform, transform.tangent_stride, call.batch)});
}

/// The blocks that share an image's sum in transform_grid_backward.
inline int64_t blocks_of_image(const TransformGridCall& call) {
  constexpr int64_t kPart = 16 * kThreads;  // locations of a block
  return (call.transform.locations() + kPart - 1) / kPart;
}

}  // namespace stn::cuda
