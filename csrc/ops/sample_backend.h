#pragma once
#include "backend.h"
#include "sample_call.h"

// What the backwards of the grid_sample family ask of a backend beside their kernels.

namespace stn::ops {

/// Writes grad_fill, whose call is for the gradients of the other arguments. `along_tangent`: of the double backward.
template <typename Backend>
void grad_fill_of(Backend& backend, const SampleCall& call, Tensor& grad_fill, bool along_tangent) {
  const Tensor zero = allocate(grad_fill, grad_fill.scalar_type(), {1}, true);
  Tensor one = allocate(grad_fill, grad_fill.scalar_type(), {1});
  torch::stable::fill_(one, 1.0);
  Tensor weight = allocate(grad_fill, grad_fill.scalar_type(), {call.grid_batch, 1, call.locations});
  SampleCall weigh = fill_weight_call(call, zero, one);
  const LocationArray weights = output_array(weight, weight.mutable_data_ptr(), weight.scalar_type());
  if (along_tangent) {
    weigh.grad_grad_output = weights;
    backend.grid_sample_double_backward(weigh, false);
  } else {
    weigh.output = weights;
    backend.grid_sample(weigh);
  }
  const ChannelArray result = channel_array(grad_fill, grad_fill.mutable_data_ptr());
  backend.fill_gradient(
      {call.dtype, call.batch, call.channels, call.locations, grad_fill.size(0), call.grad_output, weights, result});
}

/// The memory that a backward of this call wants beside its results, which has to outlive its launch. Undefined if none.
template <typename Backend>
Tensor scratch_for(Backend& backend, SampleCall& call, bool deterministic, const Tensor& like) {
  const int64_t bytes = backend.grid_sample_scratch(call, deterministic);
  if (bytes == 0) return {};
  Tensor scratch = allocate(like, DType::Byte, {bytes});
  call.scratch = scratch.mutable_data_ptr();
  return scratch;
}

}  // namespace stn::ops
