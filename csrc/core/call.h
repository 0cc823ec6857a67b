#pragma once
#include <cstdint>

#include "modes.h"

namespace stn {

// One call, as an operator hands it to a backend: plain data, nothing of torch, nothing templated. Spatial axes are in grid
// order (x, y[, z]), the reverse of the tensor's. A location is a flat index p in [0, locations), so no backend knows the
// output's shape. Strides are in elements; 0 repeats an element.

constexpr int kMaxDims = 3;

enum class ScalarType { kHalf, kBFloat16, kFloat, kDouble };

constexpr ScalarType computed_in(ScalarType stored) {
  return stored == ScalarType::kDouble ? ScalarType::kDouble : ScalarType::kFloat;
}

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

/// A transform of a location's own position in the output (transform.h), instead of coordinates in a tensor. Absent: dims is 0.
struct TransformArrays {
  int dims = 0;
  TransformKind kind{};
  int64_t size[kMaxDims] = {};  // of the output
  // affine: [N, dims, dims + 1], projective: [N, dims + 1, dims + 1]
  const void* theta = nullptr;
  const void* tangent_theta = nullptr;
  int64_t theta_stride[3] = {}, tangent_stride[3] = {};
  // flow: [N, dims, *out]
  LocationArray flow, tangent_flow, grad_flow;

  // The units of the result, see Transform.
  double unit[kMaxDims + 1][kMaxDims + 1] = {};
  double centre[kMaxDims] = {};

  // The gradient of theta: scratch, as many partial sums as the backend says, and the result, dense.
  double* partial = nullptr;
  void* grad_theta = nullptr;

  bool exist() const { return dims > 0; }
  int64_t rows() const { return kind == TransformKind::kProjective ? dims + 1 : dims; }
  int64_t locations() const {
    int64_t product = 1;
    for (int e = 0; e < dims; ++e) product *= size[e];
    return product;
  }
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
  ChannelArray fill;          // absent: taps outside read 0
  LocationArray grid;         // or
  TransformArrays transform;  // whose batch is grid_batch, too
  LocationArray output;       // forward
  LocationArray grad_output;  // backward
  ImageArray grad_input;      // backward; dense, and zeroed by the caller where a backend adds to it
  LocationArray grad_grid;    // backward

  // Double backward: tangents of input, grid and fill, each may be absent, and the results, those that are wanted. (A tangent
  // is also what the cotangent of grad_input or grad_grid acts as.) grad_input and grad_grid are its other results.
  ImageArray tangent_input;
  LocationArray tangent_grid;
  ChannelArray tangent_fill;
  LocationArray grad_grad_output;

  /// Whether the gradient of what gives the coordinates is wanted.
  bool wants_source_gradient() const { return grad_grid.data || transform.grad_flow.data || transform.grad_theta; }

  /// The same, but for the gradient of what gives the coordinates.
  SampleCall without_source_gradient() const {
    SampleCall rest = *this;
    rest.grad_grid = rest.transform.grad_flow = {};
    rest.transform.grad_theta = nullptr;
    return rest;
  }

  /// Of an image.
  int64_t pixels() const {
    int64_t product = 1;
    for (int e = 0; e < dims; ++e) product *= size[e];
    return product;
  }

  void* scratch;        // of both backwards: as many bytes as the backend says
  int64_t threads = 1;  // that a CPU shares a backward out to; set with the size of scratch
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

/// A transform's coordinates as a grid, or their tangents, or the gradient of its parameters.
struct TransformGridCall {
  ScalarType dtype;  // of grid and grad_theta; everything else is of the type that is computed in
  int64_t batch;
  TransformArrays transform;
  bool along_tangent;  // forward: the tangent of the grid. Backward: the derivative of <tangent, gradient> by the parameters
  LocationArray grid;  // written by the forward, the cotangent of the backward
};

}  // namespace stn
