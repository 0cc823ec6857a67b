// affine_grid and its backward: schema, checks, allocation.
#include "backend.h"

namespace stn::ops {
namespace {

/// size is (N, C, *out), as in torch. A checked call without its tensors.
AffineGridCall make_call(const Sizes& size, bool align_corners, const char* op) {
  const int64_t dims = static_cast<int64_t>(size.size()) - 2;
  check_value(dims == 2 || dims == 3, op, ": expected size (N, C, H, W) or (N, C, D, H, W), got ", text_of(size));
  for (const int64_t entry : size)
    check_value(entry >= 0, op, ": expected a size without negative entries, got ", text_of(size));
  AffineGridCall call{};
  call.dims = static_cast<int>(dims);
  call.align_corners = align_corners;
  call.batch = size[0];
  for (int e = 0; e < call.dims; ++e) call.size[e] = size[size.size() - 1 - e];
  return call;
}

Sizes grid_sizes(const Sizes& size) {
  Sizes sizes(size.begin() + 2, size.end());
  sizes.insert(sizes.begin(), size[0]);
  sizes.push_back(static_cast<int64_t>(size.size()) - 2);
  return sizes;
}

Sizes theta_sizes(const AffineGridCall& call) { return {call.batch, call.dims, call.dims + 1}; }

/// theta [N, dims, dims + 1] -> grid [N, *out, dims]
template <typename Backend>
Tensor affine_grid(const Tensor& theta, Sizes size, bool align_corners) {
  const char* op = "affine_grid";
  AffineGridCall call = make_call(size, align_corners, op);
  check_defined(theta, op, "theta");
  check_like(theta, theta_sizes(call), theta.scalar_type(), theta, op, "theta");
  call.dtype = check_dtype(theta, op, "theta");
  Backend backend(theta);
  Tensor grid = allocate(theta, theta.scalar_type(), grid_sizes(size));
  if (grid.numel() == 0) return grid;
  const Tensor wide_theta = converted(theta, accumulate_dtype(theta.scalar_type()));
  call.theta = wide_theta.const_data_ptr();
  for (int i = 0; i < 3; ++i) call.theta_stride[i] = wide_theta.stride(i);
  call.grid = grid_array(grid, grid.mutable_data_ptr());
  backend.affine_grid(call);
  return grid;
}

/// grad_grid [N, *out, dims] -> grad_theta [N, dims, dims + 1]
template <typename Backend>
Tensor affine_grid_backward(const Tensor& grad_grid, Sizes size, bool align_corners) {
  const char* op = "affine_grid_backward";
  AffineGridCall call = make_call(size, align_corners, op);
  check_defined(grad_grid, op, "grad_grid");
  check_like(grad_grid, grid_sizes(size), grad_grid.scalar_type(), grad_grid, op, "grad_grid");
  call.dtype = check_dtype(grad_grid, op, "grad_grid");
  Backend backend(grad_grid);
  const Tensor flat = with_flat_dims(grad_grid, 1, grad_grid.dim() - 1);
  const bool empty = grad_grid.numel() == 0;
  Tensor grad_theta = allocate(grad_grid, grad_grid.scalar_type(), theta_sizes(call), empty);
  if (empty) return grad_theta;
  call.grid = grid_array(flat, data_of(flat));
  call.grad_theta = grad_theta.mutable_data_ptr();
  Tensor partial = allocate(grad_grid, DType::Double, {backend.affine_grid_partials(call)});
  call.partial = static_cast<double*>(partial.mutable_data_ptr());
  backend.affine_grid_backward(call);
  return grad_theta;
}

}  // namespace
}  // namespace stn::ops

STABLE_TORCH_LIBRARY_FRAGMENT(stn_cuda, m) {
  m.def("affine_grid(Tensor theta, SymInt[] size, bool align_corners) -> Tensor");   // has an Autograd key, _autograd.py
  m.def("_affine_grid(Tensor theta, SymInt[] size, bool align_corners) -> Tensor");  // has none
  m.def("affine_grid_backward(Tensor grad_grid, SymInt[] size, bool align_corners) -> Tensor");
}

namespace {

template <typename Backend, typename library_t>
void register_kernels(library_t& m) {
  m.impl("affine_grid", TORCH_BOX(&stn::ops::affine_grid<Backend>));
  m.impl("_affine_grid", TORCH_BOX(&stn::ops::affine_grid<Backend>));
  m.impl("affine_grid_backward", TORCH_BOX(&stn::ops::affine_grid_backward<Backend>));
}

}  // namespace

STN_FOR_EACH_BACKEND(register_kernels)
