// grid_sample, its backward and double backward: schema, allocation, call.
#include <tuple>

#include "sample_backend.h"

namespace stn::ops {
namespace {

/// input [N, C, *in], grid [N, *out, dims] -> output [N, C, *out]
template <typename Backend>
Tensor grid_sample(const Tensor& input, const Tensor& grid, int64_t mode, Sizes padding, int64_t coordinates,
                   OptionalTensor fill_value, bool float_output) {
  const SampleOptions options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_sample_call(input, grid, options, "grid_sample");
  Backend backend(input);
  const MemoryFormat format = memory_format_of(input, grid.dim());
  Tensor output = allocate(input, output_dtype(input, options), output_sizes(input, grid), false, format);
  if (output.numel() == 0) return output;
  const SampleArguments arguments(call, input, grid, options);
  call.output = output_array(output, output.mutable_data_ptr(), input.scalar_type());
  backend.grid_sample(call);
  return output;
}

using Gradients = std::tuple<Tensor, Tensor, Tensor>;

/// grad_output [N, C, *out] and the forward's arguments -> grad_input [N, C, *in], grad_grid [N, *out, dims], grad_fill as
/// fill_value. What output_mask does not ask for is an undefined tensor, None in Python: neither allocated nor computed. A
/// backend's results are the same bits always, CUDA's grad_input only if `deterministic` asks for it.
template <typename Backend>
Gradients grid_sample_backward(const Tensor& grad_output, const Tensor& input, const Tensor& grid, int64_t mode, Sizes padding,
                               int64_t coordinates, OptionalTensor fill_value, bool float_output, std::vector<bool> output_mask,
                               bool deterministic) {
  const char* op = "grid_sample_backward";
  const SampleOptions options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_sample_call(input, grid, options, op);
  check_like(grad_output, output_sizes(input, grid), output_dtype(input, options), input, op, "grad_output");
  check_value(output_mask.size() == 3, op, ": expected output_mask with 3 entries, got ", output_mask.size());
  check_value(fill_value || !output_mask[2], op, ": expected output_mask[2] to be False without a fill_value");
  Backend backend(input);
  const bool empty = grad_output.numel() == 0;
  SampleGradients gradients(call, input, grid, options, output_mask[0], output_mask[1], output_mask[2], empty,
                            Backend::kAddsToGradInput);
  if (!empty) {
    SampleArguments arguments(call, input, grid, options);
    call.grad_output = arguments.output(grad_output, input);
    const Tensor scratch = scratch_for(backend, call, deterministic, input);
    if (output_mask[0] || output_mask[1]) backend.grid_sample_backward(call, deterministic);
    if (output_mask[2]) grad_fill_of(backend, call, gradients.fill, false);
  }
  gradients.round_to(input, grid);
  return {gradients.input, gradients.grid, gradients.fill};
}

using SecondGradients = std::tuple<Tensor, Tensor, Tensor, Tensor>;

/// The derivative of <t_input, grad_input> + <t_grid, grad_grid> + <t_fill, grad_fill> by grad_output, input, grid and
/// fill_value, where grad_... are what the backward returns. An absent tangent counts as zeros; grad_output is needed by the
/// last three only. The derivative by grad_output is at the same time the tangent of the output: output_mask (1, 0, 0, 0) is
/// the jvp.
template <typename Backend>
SecondGradients grid_sample_double_backward(OptionalTensor t_input, OptionalTensor t_grid, OptionalTensor t_fill,
                                            OptionalTensor grad_output, const Tensor& input, const Tensor& grid, int64_t mode,
                                            Sizes padding, int64_t coordinates, OptionalTensor fill_value, bool float_output,
                                            std::vector<bool> output_mask, bool deterministic) {
  const char* op = "grid_sample_double_backward";
  const SampleOptions options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_sample_call(input, grid, options, op);
  const Sizes output = output_sizes(input, grid);
  const DType returned = output_dtype(input, options);
  check_value(output_mask.size() == 4, op, ": expected output_mask with 4 entries, got ", output_mask.size());
  check_value(fill_value || (!output_mask[3] && !t_fill), op,
              ": expected no t_fill and output_mask[3] to be False without a fill_value");
  check_value(grad_output || !(output_mask[1] || output_mask[2] || output_mask[3]), op,
              ": expected grad_output for the gradients of input, grid and fill_value");
  if (t_input) check_like(*t_input, sizes_of(input), input.scalar_type(), input, op, "t_input");
  if (t_grid) check_like(*t_grid, sizes_of(grid), grid.scalar_type(), input, op, "t_grid");
  if (t_fill) check_like(*t_fill, sizes_of(*fill_value), fill_value->scalar_type(), input, op, "t_fill");
  if (grad_output) check_like(*grad_output, output, returned, input, op, "grad_output");
  Backend backend(input);
  int64_t outputs = 1;
  for (const int64_t size : output) outputs *= size;
  const bool empty = outputs == 0;
  Tensor grad_grad_output;
  if (output_mask[0]) {
    grad_grad_output = allocate(input, returned, output, empty, memory_format_of(input, grid.dim()));
    call.grad_grad_output = output_array(grad_grad_output, grad_grad_output.mutable_data_ptr(), input.scalar_type());
  }
  SampleGradients gradients(call, input, grid, options, output_mask[1], output_mask[2], output_mask[3], empty,
                            Backend::kAddsToGradInput);
  if (!empty) {
    SampleArguments arguments(call, input, grid, options);
    if (t_grid) call.tangent_grid = arguments.grid(*t_grid);
    if (t_input) call.tangent_input = image_array(*t_input, data_of(*t_input));
    if (t_fill) call.tangent_fill = channel_array(*t_fill, data_of(*t_fill));
    if (grad_output) call.grad_output = arguments.output(*grad_output, input);
    const Tensor scratch = scratch_for(backend, call, deterministic, input);
    if (output_mask[0] || output_mask[1] || output_mask[2]) backend.grid_sample_double_backward(call, deterministic);
    if (output_mask[3] && t_grid) grad_fill_of(backend, call, gradients.fill, true);
  }
  gradients.round_to(input, grid);
  return {grad_grad_output, gradients.input, gradients.grid, gradients.fill};
}

}  // namespace
}  // namespace stn::ops

#define STN_SAMPLE_TENSORS "Tensor input, Tensor grid, "
#define STN_SAMPLE_OPTIONS "int mode, int[] padding, int coordinates, Tensor? fill_value, bool float_output"

STABLE_TORCH_LIBRARY_FRAGMENT(stn_cuda, m) {
  m.def("grid_sample(" STN_SAMPLE_TENSORS STN_SAMPLE_OPTIONS ") -> Tensor");   // has an Autograd key, stn_cuda/_autograd.py
  m.def("_grid_sample(" STN_SAMPLE_TENSORS STN_SAMPLE_OPTIONS ") -> Tensor");  // has none: what the Functions call
  m.def("grid_sample_backward(Tensor grad_output, " STN_SAMPLE_TENSORS STN_SAMPLE_OPTIONS
        ", bool[3] output_mask, bool deterministic) -> (Tensor, Tensor, Tensor)");
  m.def(
      "grid_sample_double_backward(Tensor? t_input, Tensor? t_grid, Tensor? t_fill, Tensor? "
      "grad_output, " STN_SAMPLE_TENSORS STN_SAMPLE_OPTIONS
      ", bool[4] output_mask, bool deterministic) -> (Tensor, Tensor, Tensor, Tensor)");
}

namespace {

template <typename Backend, typename library_t>
void register_kernels(library_t& m) {
  m.impl("grid_sample", TORCH_BOX(&stn::ops::grid_sample<Backend>));
  m.impl("_grid_sample", TORCH_BOX(&stn::ops::grid_sample<Backend>));
  m.impl("grid_sample_backward", TORCH_BOX(&stn::ops::grid_sample_backward<Backend>));
  m.impl("grid_sample_double_backward", TORCH_BOX(&stn::ops::grid_sample_double_backward<Backend>));
}

}  // namespace

STN_FOR_EACH_BACKEND(register_kernels)
