// transform_grid and its backward, and affine_grid, which is one of them under torch's arguments: schema, checks, allocation.
#include "backend.h"
#include "transform_call.h"

namespace stn::ops {
namespace {

Sizes grid_sizes(const TransformArrays& transform, int64_t batch) {
  Sizes sizes{batch};
  for (int e = transform.dims - 1; e >= 0; --e) sizes.push_back(transform.size[e]);
  sizes.push_back(transform.dims);
  return sizes;
}

TransformGridCall make_call(const TransformArrays& transform, const Tensor& parameters, int64_t batch, bool along_tangent,
                            const char* op) {
  TransformGridCall call{};
  call.dtype = check_dtype(parameters, op, "parameters");
  call.batch = batch;
  call.transform = transform;
  call.along_tangent = along_tangent;
  return call;
}

/// The grid, or with `tangent` the grid's derivative along that one of the parameters.
template <typename Backend>
Tensor grid_of(TransformArrays transform, const Tensor& parameters, const OptionalTensor& tangent, const char* op) {
  check_parameters(transform, parameters, op);
  if (tangent) check_like(*tangent, sizes_of(parameters), parameters.scalar_type(), parameters, op, "tangent");
  TransformGridCall call = make_call(transform, parameters, parameters.size(0), tangent.has_value(), op);
  Backend backend(parameters);
  Tensor grid = allocate(parameters, parameters.scalar_type(), grid_sizes(transform, call.batch));
  if (grid.numel() == 0) return grid;
  std::vector<Tensor> kept;
  set_parameters(call.transform, parameters, kept);
  if (tangent) set_tangent(call.transform, *tangent, kept);
  call.grid = grid_array(grid, grid.mutable_data_ptr());
  backend.transform_grid(call);
  return grid;
}

/// The gradient of <grad_grid, grid> by the parameters, or with `tangent` the derivative of that along it. A theta without a
/// row of w and a flow are linear: their gradient does not depend on parameters.
template <typename Backend>
Tensor grid_gradient(TransformArrays transform, const Tensor& grad_grid, const OptionalTensor& parameters,
                     const OptionalTensor& tangent, const char* op) {
  check_defined(grad_grid, op, "grad_grid");
  const int64_t batch = grad_grid.dim() > 0 ? grad_grid.size(0) : 0;
  check_like(grad_grid, grid_sizes(transform, batch), grad_grid.scalar_type(), grad_grid, op, "grad_grid");
  const Sizes sizes = parameter_sizes(transform, batch);
  for (const OptionalTensor* given : {&parameters, &tangent}) {
    if (*given)
      check_like(**given, sizes, grad_grid.scalar_type(), grad_grid, op, given == &tangent ? "tangent" : "parameters");
  }
  check_value(parameters || transform.kind != TransformKind::kProjective, op,
              ": expected parameters for a projective transform");
  TransformGridCall call = make_call(transform, grad_grid, batch, tangent.has_value(), op);
  Backend backend(grad_grid);
  const bool empty = grad_grid.numel() == 0;
  const bool none = tangent && transform.kind != TransformKind::kProjective;  // linear
  Tensor gradient = allocate(grad_grid, grad_grid.scalar_type(), sizes, empty || none);
  if (empty || none) return gradient;
  std::vector<Tensor> kept;
  // what is linear reads no parameters, but an array of their shape has to be there
  set_parameters(call.transform, parameters ? *parameters : gradient, kept);
  if (tangent) set_tangent(call.transform, *tangent, kept);
  const Tensor& flat = kept.emplace_back(with_flat_dims(grad_grid, 1, grad_grid.dim() - 1));
  call.grid = grid_array(flat, data_of(flat));
  const bool is_flow = transform.kind == TransformKind::kFlow;
  // a flow is stored in the type that is computed in, and rounded behind
  Tensor computed = is_flow ? allocate(grad_grid, accumulate_dtype(grad_grid.scalar_type()), sizes) : gradient;
  set_gradient(call.transform, computed);
  Tensor partial;
  if (!is_flow) {
    partial = allocate(grad_grid, DType::Double, {backend.theta_partials(call)});
    call.transform.partial = static_cast<double*>(partial.mutable_data_ptr());
  }
  backend.transform_grid_backward(call);
  return is_flow ? converted(computed, grad_grid.scalar_type()) : gradient;
}

template <typename Backend>
Tensor transform_grid(const Tensor& parameters, OptionalTensor tangent, int64_t kind, Sizes size, Sizes in_size, bool pixels,
                      bool align_corners) {
  const char* op = "transform_grid";
  return grid_of<Backend>(make_transform(kind, size, {in_size, pixels, align_corners}, op), parameters, tangent, op);
}

template <typename Backend>
Tensor plain_transform_grid(const Tensor& parameters, int64_t kind, Sizes size, Sizes in_size, bool pixels,
                            bool align_corners) {
  return transform_grid<Backend>(parameters, std::nullopt, kind, size, in_size, pixels, align_corners);
}

template <typename Backend>
Tensor transform_grid_backward(const Tensor& grad_grid, OptionalTensor parameters, OptionalTensor tangent, int64_t kind,
                               Sizes size, Sizes in_size, bool pixels, bool align_corners) {
  const char* op = "transform_grid_backward";
  return grid_gradient<Backend>(make_transform(kind, size, {in_size, pixels, align_corners}, op), grad_grid, parameters,
                                tangent, op);
}

/// size is (N, C, *out), as in torch.
TransformArrays affine_transform(const Sizes& size, bool align_corners, const char* op) {
  check_value(size.size() == 4 || size.size() == 5, op, ": expected size (N, C, H, W) or (N, C, D, H, W), got ", text_of(size));
  const Sizes out(size.begin() + 2, size.end());
  return make_transform(static_cast<int64_t>(TransformKind::kAffine), out, {{}, false, align_corners}, op);
}

/// theta [N, dims, dims + 1] -> grid [N, *out, dims]
template <typename Backend>
Tensor affine_grid(const Tensor& theta, Sizes size, bool align_corners) {
  const char* op = "affine_grid";
  const TransformArrays transform = affine_transform(size, align_corners, op);
  check_defined(theta, op, "theta");
  check_like(theta, parameter_sizes(transform, size[0]), theta.scalar_type(), theta, op, "theta");
  return grid_of<Backend>(transform, theta, std::nullopt, op);
}

}  // namespace
}  // namespace stn::ops

#define STN_TRANSFORM_GRID "int transform, SymInt[] size, SymInt[] in_size, bool pixels, bool align_corners) -> Tensor"

STABLE_TORCH_LIBRARY_FRAGMENT(stn_cuda, m) {
  m.def("affine_grid(Tensor theta, SymInt[] size, bool align_corners) -> Tensor");  // has an Autograd key, _autograd.py
  m.def("transform_grid(Tensor parameters, " STN_TRANSFORM_GRID);  // has one too
  // These two have none; a tangent gives derivatives along it.
  m.def("_transform_grid(Tensor parameters, Tensor? tangent, " STN_TRANSFORM_GRID);
  m.def("transform_grid_backward(Tensor grad_grid, Tensor? parameters, Tensor? tangent, " STN_TRANSFORM_GRID);
}

namespace {

template <typename Backend, typename library_t>
void register_kernels(library_t& m) {
  m.impl("affine_grid", TORCH_BOX(&stn::ops::affine_grid<Backend>));
  m.impl("transform_grid", TORCH_BOX(&stn::ops::plain_transform_grid<Backend>));
  m.impl("_transform_grid", TORCH_BOX(&stn::ops::transform_grid<Backend>));
  m.impl("transform_grid_backward", TORCH_BOX(&stn::ops::transform_grid_backward<Backend>));
}

}  // namespace

STN_FOR_EACH_BACKEND(register_kernels)
