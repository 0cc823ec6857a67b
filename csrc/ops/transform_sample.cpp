// transform_sample and its backward: a transform's grid sampled at, without the grid.
#include <tuple>

#include "sample_backend.h"
#include "transform_call.h"

namespace stn::ops {
namespace {

Sizes output_sizes(const SampleCall& call, const Sizes& size) {
  Sizes sizes{call.batch, call.channels};
  sizes.insert(sizes.end(), size.begin(), size.end());
  return sizes;
}

/// input [N, C, *in], parameters -> output [N, C, *size]
template <typename Backend>
Tensor transform_sample(const Tensor& input, const Tensor& parameters, int64_t kind, Sizes size, int64_t mode, Sizes padding,
                        int64_t coordinates, OptionalTensor fill_value, bool float_output) {
  const SampleOptions options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_transform_call(input, parameters, kind, size, options, "transform_sample");
  Backend backend(input);
  const Sizes sizes = output_sizes(call, size);
  Tensor output = allocate(input, output_dtype(input, options), sizes, false, memory_format_of(input));
  if (output.numel() == 0) return output;
  const SampleArguments arguments(call, input, parameters, options);
  call.output = output_array(output, output.mutable_data_ptr(), input.scalar_type());
  backend.grid_sample(call);
  return output;
}

/// grad_input alone, of a call whose coordinates are put into memory first: for the sort, where nothing else has a fixed order.
template <typename Backend>
void backward_with_grid(Backend& backend, SampleCall call, const Tensor& like) {
  Sizes sizes{call.grid_batch, call.locations, call.dims};
  Tensor grid = allocate(like, call.dtype == ScalarType::kDouble ? DType::Double : DType::Float, sizes);
  const LocationArray array = grid_array(grid, grid.mutable_data_ptr());
  TransformGridCall generate{computed_in(call.dtype), call.grid_batch, call.transform, false, array};
  backend.transform_grid(generate);
  call.transform = {};
  call.grid = array;
  const Tensor scratch = scratch_for(backend, call, true, like);
  backend.grid_sample_backward(call, true);
}

using Gradients = std::tuple<Tensor, Tensor, Tensor>;

/// grad_output [N, C, *size] and the forward's arguments -> grad_input, grad_parameters, grad_fill; what output_mask does not
/// ask for is an undefined tensor. The same bits always by a theta, and by a flow but for CUDA's grad_input, for which
/// `deterministic` asks.
template <typename Backend>
Gradients transform_sample_backward(const Tensor& grad_output, const Tensor& input, const Tensor& parameters, int64_t kind,
                                    Sizes size, int64_t mode, Sizes padding, int64_t coordinates, OptionalTensor fill_value,
                                    bool float_output, std::vector<bool> output_mask, bool deterministic) {
  const char* op = "transform_sample_backward";
  const SampleOptions options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_transform_call(input, parameters, kind, size, options, op);
  check_like(grad_output, output_sizes(call, size), output_dtype(input, options), input, op, "grad_output");
  check_value(output_mask.size() == 3, op, ": expected output_mask with 3 entries, got ", output_mask.size());
  check_value(fill_value || !output_mask[2], op, ": expected output_mask[2] to be False without a fill_value");
  Backend backend(input);
  const bool empty = grad_output.numel() == 0;
  SampleGradients gradients(call, input, parameters, options, output_mask[0], output_mask[1], output_mask[2], empty,
                            Backend::kAddsToGradInput);
  if (!empty) {
    SampleArguments arguments(call, input, parameters, options);
    call.grad_output = arguments.output(grad_output, input);
    Tensor partial;
    if (call.transform.grad_theta) {
      partial = allocate(input, DType::Double, {backend.theta_partials(call)});
      call.transform.partial = static_cast<double*>(partial.mutable_data_ptr());
    }
    if (!backend.can_transform_backward(call, deterministic)) {
      SampleCall only_input = call;
      only_input.transform.grad_theta = nullptr;
      only_input.transform.grad_flow = {};
      backward_with_grid(backend, only_input, input);
      call.grad_input = {};
    }
    if (call.grad_input.data || output_mask[1]) {
      const Tensor scratch = scratch_for(backend, call, deterministic, input);
      backend.grid_sample_backward(call, deterministic);
    }
    if (output_mask[2]) grad_fill_of(backend, call, gradients.fill, false);
  }
  gradients.round_to(input, parameters);
  return {gradients.input, gradients.grid, gradients.fill};
}

}  // namespace
}  // namespace stn::ops

#define STN_TRANSFORM_SAMPLE                                                                                  \
  "Tensor input, Tensor parameters, int transform, SymInt[] size, int mode, int[] padding, int coordinates, " \
  "Tensor? fill_value, bool float_output"

STABLE_TORCH_LIBRARY_FRAGMENT(stn_cuda, m) {
  m.def("transform_sample(" STN_TRANSFORM_SAMPLE ") -> Tensor");   // has an Autograd key, _fused_functions.py
  m.def("_transform_sample(" STN_TRANSFORM_SAMPLE ") -> Tensor");  // has none
  m.def("transform_sample_backward(Tensor grad_output, " STN_TRANSFORM_SAMPLE
        ", bool[3] output_mask, bool deterministic) -> (Tensor, Tensor, Tensor)");
}

namespace {

template <typename Backend, typename library_t>
void register_kernels(library_t& m) {
  m.impl("transform_sample", TORCH_BOX(&stn::ops::transform_sample<Backend>));
  m.impl("_transform_sample", TORCH_BOX(&stn::ops::transform_sample<Backend>));
  m.impl("transform_sample_backward", TORCH_BOX(&stn::ops::transform_sample_backward<Backend>));
}

}  // namespace

STN_FOR_EACH_BACKEND(register_kernels)
