#pragma once
#include "checks.h"

// What the operators of the grid_sample family share: their options, checks and results.

namespace stn::ops {

/// The arguments that every operator of the family has behind its tensors.
struct SampleOptions {
  int64_t mode;
  Sizes padding;  // one entry, or one an axis in grid order
  int64_t coordinates;
  OptionalTensor fill_value;  // [N or 1, C], of the type that is computed in
  bool float_output;
};

/// A 16-bit input's output is float32 if float_output says so.
DType output_dtype(const Tensor& input, const SampleOptions& options);

/// [N, C, *out], where N is the batch of input and grid, either of which may have 1 for all.
Sizes output_sizes(const Tensor& input, const Tensor& grid);

/// A checked call without its arrays.
SampleCall make_sample_call(const Tensor& input, const Tensor& grid, const SampleOptions& options, const char* op);

/// The same where a transform's parameters stand in the place of a grid. `size`: of the output.
SampleCall make_transform_call(const Tensor& input, const Tensor& parameters, int64_t kind, const Sizes& size,
                               const SampleOptions& options, const char* op);

/// The arrays that all calls read, and the copies that some of them are of, kept until the kernels are launched. A grid is
/// handed on in the type that is computed in: 16-bit ones are copied once, which costs less than kernels for every pair of
/// dtypes.
class SampleArguments {
 public:
  SampleArguments(SampleCall& call, const Tensor& input, const Tensor& source, const SampleOptions& options);

  LocationArray output(const Tensor& tensor, const Tensor& input);  // [N, C, *out], an argument
  LocationArray grid(const Tensor& tensor);                         // [N, *out, dims]

 private:
  std::vector<Tensor> kept_;
};

/// Gradients of input, grid (or parameters) and fill_value that are wanted, allocated and put into the call: computed in the
/// type that is computed in, rounded once to the dtype that is returned.
struct SampleGradients {
  Tensor input, grid, fill;

  /// `zero_input`: grad_input is zeroed, which it is in any case where there are no locations.
  SampleGradients(SampleCall& call, const Tensor& input, const Tensor& source, const SampleOptions& options, bool wants_input,
                  bool wants_grid, bool wants_fill, bool no_locations, bool zero_input);
  void round_to(const Tensor& input_argument, const Tensor& source_argument);
};

/// The call whose output [N or 1, 1, *out] is the weight of the fill at each location: of an image of zeros, filled with 1.
/// With `along`, the derivative of that weight along the tangent of the grid. `one` and `zero` hold a number each.
SampleCall fill_weight_call(const SampleCall& call, const Tensor& zero, const Tensor& one);

}  // namespace stn::ops
