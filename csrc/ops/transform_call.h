#pragma once
#include "sample_call.h"

// What the operators of transforms share: parameters in the place of a grid.

namespace stn::ops {

/// The units of a transform's coordinates: pixels of an image of `in_size`, or the normalised ones that are told by it.
struct CoordinateUnits {
  Sizes in_size;  // may be empty for the normalised coordinates of a theta
  bool pixels;
  bool centres;  // -1 and 1 are centres (align_corners=True)
};

/// A checked transform without its parameters. `size`: of the output.
TransformArrays make_transform(int64_t kind, const Sizes& size, const CoordinateUnits& units, const char* op);

/// theta [N, dims, dims + 1] or [N, dims + 1, dims + 1], flow [N, dims, *out].
Sizes parameter_sizes(const TransformArrays& transform, int64_t batch);

/// Checks the parameters' shape, whose batch may be any.
void check_parameters(const TransformArrays& transform, const Tensor& parameters, const char* op);

/// Puts parameters, or their tangent, into the transform in the type that is computed in; copies are kept in `kept`.
void set_parameters(TransformArrays& transform, const Tensor& parameters, std::vector<Tensor>& kept);
void set_tangent(TransformArrays& transform, const Tensor& tangent, std::vector<Tensor>& kept);

/// The gradient of parameters: written where it is, a theta's dense.
void set_gradient(TransformArrays& transform, Tensor& gradient);

}  // namespace stn::ops
