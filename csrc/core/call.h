#pragma once
#include <cstdint>

#include "modes.h"

namespace stn {

// One call, as an operator hands it to a backend: plain data, nothing of torch, nothing templated. Spatial axes are in grid
// order (x, y[, z]), the reverse of the tensor's. A location is a flat index p in [0, locations), so no backend knows the
// output's shape. Strides are in elements; 0 repeats an element.

constexpr int kMaxDims = 3;

enum class ScalarType { kHalf, kBFloat16, kFloat, kDouble };

/// [N, C, *in]
struct ImageArray {
  void* data = nullptr;  // nullptr: absent, for results that are not wanted
  int64_t batch_stride = 0, channel_stride = 0;
  int64_t axis_stride[kMaxDims] = {};
};

/// [N, C, P] for outputs, [N, P, kDims] for grids: the two strides beside the batch's are named by who reads them.
struct LocationArray {
  void* data = nullptr;
  int64_t batch_stride = 0;
  int64_t location_stride = 0;
  int64_t component_stride = 0;  // from channel to channel, or from x to y to z
  bool widened = false;          // elements are what the call is computed in, and not of its dtype
};

/// [N, C]: a fill value, its tangent or its gradient.
struct ChannelArray {
  void* data = nullptr;
  int64_t batch_stride = 0, channel_stride = 0;
};

/// Coordinates, their tangents and gradients, fill values, and grad_input are of the type that is computed in: float for 16-bit
/// images. An input or a grid of one image for a batch has the batch 1 and the stride 0 there; all images then read it, and add
/// to its gradient.
struct SampleCall {
  ScalarType dtype;  // of input, its tangent, and of output and its cotangent where they aren't widened
  int dims;
  InterpolationMode mode;
  PaddingMode padding[kMaxDims];
  CoordinateConvention coordinates;
  int64_t batch, channels, locations;
  int64_t input_batch, grid_batch;  // batch, or 1
  int64_t size[kMaxDims];           // of the image
  ImageArray input;
  ChannelArray fill;  // absent: taps outside read 0
  LocationArray grid;
  LocationArray output;       // forward
  LocationArray grad_output;  // backward
  ImageArray grad_input;      // backward, zeroed by the caller
  LocationArray grad_grid;    // backward

  // Double backward: tangents of input, grid and fill, each may be absent, and the results, those that are wanted. (A tangent
  // is also what the cotangent of grad_input or grad_grid acts as.) grad_input and grad_grid are its other results.
  ImageArray tangent_input;
  LocationArray tangent_grid;
  ChannelArray tangent_fill;
  LocationArray grad_grad_output;

  void* scratch;  // of both backwards: as many bytes as the backend says
};

/// The gradient of the fill value, which is linear: grad_fill[m, c] = sum over the images n that read it (n % fill_batch is m)
/// and over locations of grad_output[n, c, p] times the weight of the fill, or that weight's derivative along a tangent.
struct FillGradientCall {
  ScalarType dtype;  // of grad_output
  int64_t batch, channels, locations, fill_batch;
  LocationArray grad_output;
  LocationArray weight;    // [N or 1, 1, P], of the type that is computed in
  ChannelArray grad_fill;  // of the type that is computed in
};

struct AffineGridCall {
  ScalarType dtype;  // of grid and grad_theta; theta is of the type that is computed in
  int dims;
  bool align_corners;
  int64_t batch;
  int64_t size[kMaxDims];  // of the output
  const void* theta;       // [N, dims, dims + 1], forward
  int64_t theta_stride[3];
  void* grad_theta;    // dense [N, dims, dims + 1], backward
  double* partial;     // scratch of the backward: as many as the backend says
  LocationArray grid;  // written by the forward, the cotangent of the backward
};

}  // namespace stn
