// grid_sample and its backward: schema, checks, allocation.
#include <tuple>

#include "backend.h"

namespace stn::ops {
namespace {

/// The arguments that every operator of the family has behind its tensors.
struct Options {
  int64_t mode;
  Sizes padding;
  int64_t coordinates;
  OptionalTensor fill_value;
  bool float_output;
};

/// A 16-bit input's output is float32 if float_output says so.
DType output_dtype(const Tensor& input, const Options& options) {
  return options.float_output ? accumulate_dtype(input.scalar_type()) : input.scalar_type();
}

Sizes output_sizes(const Tensor& input, const Tensor& grid) {
  Sizes sizes = sizes_of(grid);
  sizes.pop_back();
  sizes.insert(sizes.begin() + 1, input.size(1));
  return sizes;
}

void check_shapes(const Tensor& input, const Tensor& grid, const char* op) {
  check_defined(input, op, "input");
  check_defined(grid, op, "grid");
  const int64_t dims = input.dim() - 2;
  check_value(dims >= 1 && dims <= kMaxDims, op, ": expected input of shape [N, C, W], [N, C, H, W] or [N, C, D, H, W], got ",
              text_of(sizes_of(input)));
  check_value(grid.dim() == dims + 2 && grid.size(0) == input.size(0) && grid.size(dims + 1) == dims, op, ": expected grid of ",
              dims + 2, " dimensions, the first ", input.size(0), " and the last ", dims, " for input of shape ",
              text_of(sizes_of(input)), ", got ", text_of(sizes_of(grid)));
  for (int64_t dim = 2; dim < dims + 2; ++dim) {
    check_value(input.size(dim) > 0, op, ": expected input with non-empty spatial dimensions, got ", text_of(sizes_of(input)));
  }
}

/// A checked call without its results. The grid and grad_output in it must be flat.
SampleCall make_call(const Tensor& input, const Tensor& grid, const Options& options, const char* op) {
  check_shapes(input, grid, op);
  SampleCall call{};
  call.dtype = check_dtype(input, op, "input");
  const bool mixes = accumulate_dtype(grid.scalar_type()) == accumulate_dtype(input.scalar_type());
  check_like(grid, sizes_of(grid), mixes ? grid.scalar_type() : input.scalar_type(), input, op, "grid");
  call.mode = check_mode(kInterpolationModes, options.mode, op, "mode");
  check_value(!options.padding.empty(), op, ": expected padding with an entry, got []");
  call.padding = check_mode(kPaddingModes, options.padding[0], op, "padding");
  call.coordinates = check_mode(kCoordinateConventions, options.coordinates, op, "coordinates");
  check_supported(options.padding.size() == 1, op, ": padding with an entry an axis");
  check_supported(!options.fill_value, op, ": fill_value");
  call.dims = static_cast<int>(input.dim() - 2);
  call.batch = input.size(0);
  call.channels = input.size(1);
  call.locations = 1;
  for (int e = 0; e < call.dims; ++e) {
    call.size[e] = input.size(input.dim() - 1 - e);
    call.locations *= grid.size(1 + e);
  }
  return call;
}

/// A grid as kernels take it: of the type that is computed in, its spatial dims flat. 16-bit grids are copied once for that,
/// which costs less than kernels for every pair of dtypes.
Tensor computed_grid(const Tensor& grid) {
  return with_flat_dims(converted(grid, accumulate_dtype(grid.scalar_type())), 1, grid.dim() - 1);
}

/// What kernels wrote or accumulated in the type that is computed in, rounded once to the dtype that is returned.
void round_to(Tensor& result, const Tensor& like) {
  if (result.defined()) result = converted(result, like.scalar_type());
}

/// input [N, C, *in], grid [N, *out, dims] -> output [N, C, *out]
template <typename Backend>
Tensor grid_sample(const Tensor& input, const Tensor& grid, int64_t mode, Sizes padding, int64_t coordinates,
                   OptionalTensor fill_value, bool float_output) {
  const Options options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_call(input, grid, options, "grid_sample");
  Backend backend(input);
  Tensor output = allocate(input, output_dtype(input, options), output_sizes(input, grid), false, memory_format_of(input));
  if (output.numel() == 0) return output;
  const Tensor flat_grid = computed_grid(grid);
  call.input = image_array(input, data_of(input));
  call.grid = grid_array(flat_grid, data_of(flat_grid));
  call.output = output_array(output, output.mutable_data_ptr(), input.scalar_type());
  backend.grid_sample(call);
  return output;
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

using Gradients = std::tuple<Tensor, Tensor, Tensor>;

/// grad_output [N, C, *out] and the forward's arguments -> grad_input [N, C, *in], grad_grid [N, *out, dims], grad_fill.
/// What output_mask does not ask for is an undefined tensor, None in Python: neither allocated nor computed. A backend's
/// results are the same bits always, CUDA's grad_input only if `deterministic` asks for it.
template <typename Backend>
Gradients grid_sample_backward(const Tensor& grad_output, const Tensor& input, const Tensor& grid, int64_t mode, Sizes padding,
                               int64_t coordinates, OptionalTensor fill_value, bool float_output, std::vector<bool> output_mask,
                               bool deterministic) {
  const char* op = "grid_sample_backward";
  const Options options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_call(input, grid, options, op);
  check_like(grad_output, output_sizes(input, grid), output_dtype(input, options), input, op, "grad_output");
  check_value(output_mask.size() == 3, op, ": expected output_mask with 3 entries, got ", output_mask.size());
  check_value(!output_mask[2], op, ": expected output_mask[2] to be False without a fill_value");
  Backend backend(input);
  const DType computed = accumulate_dtype(input.scalar_type());
  Gradients gradients;
  auto& [grad_input, grad_grid, grad_fill] = gradients;
  const bool empty = grad_output.numel() == 0;
  if (output_mask[0]) {
    grad_input = allocate(input, computed, sizes_of(input), true, memory_format_of(input));
    call.grad_input = image_array(grad_input, grad_input.mutable_data_ptr());
  }
  if (output_mask[1]) {
    grad_grid = allocate(grid, computed, sizes_of(grid), empty);
    call.grad_grid = grid_array(grad_grid, grad_grid.mutable_data_ptr());
  }
  if (!empty) {
    const Tensor flat_grid = computed_grid(grid);
    const Tensor flat_grad_output = with_flat_dims(grad_output, 2, grad_output.dim());
    call.input = image_array(input, data_of(input));
    call.grid = grid_array(flat_grid, data_of(flat_grid));
    call.grad_output = output_array(flat_grad_output, data_of(flat_grad_output), input.scalar_type());
    const Tensor scratch = scratch_for(backend, call, deterministic, input);
    backend.grid_sample_backward(call, deterministic);
  }
  round_to(grad_input, input);
  round_to(grad_grid, grid);
  return gradients;
}

using SecondGradients = std::tuple<Tensor, Tensor, Tensor, Tensor>;

/// The derivative of <t_input, grad_input> + <t_grid, grad_grid> by grad_output, input, grid and fill_value, where grad_input
/// and grad_grid are what the backward returns. An absent tangent counts as zeros; grad_output is needed by the last three
/// only. The derivative by grad_output is at the same time the tangent of the output: output_mask (1, 0, 0, 0) is the jvp.
template <typename Backend>
SecondGradients grid_sample_double_backward(OptionalTensor t_input, OptionalTensor t_grid, OptionalTensor t_fill,
                                            OptionalTensor grad_output, const Tensor& input, const Tensor& grid, int64_t mode,
                                            Sizes padding, int64_t coordinates, OptionalTensor fill_value, bool float_output,
                                            std::vector<bool> output_mask, bool deterministic) {
  const char* op = "grid_sample_double_backward";
  const Options options{mode, padding, coordinates, fill_value, float_output};
  SampleCall call = make_call(input, grid, options, op);
  const DType computed = accumulate_dtype(input.scalar_type()), returned = output_dtype(input, options);
  check_value(output_mask.size() == 4, op, ": expected output_mask with 4 entries, got ", output_mask.size());
  check_value(!output_mask[3] && !t_fill, op, ": expected no t_fill and output_mask[3] to be False without a fill_value");
  check_value(grad_output || !(output_mask[1] || output_mask[2]), op,
              ": expected grad_output for the gradients of input and grid");
  if (t_input) check_like(*t_input, sizes_of(input), input.scalar_type(), input, op, "t_input");
  if (t_grid) check_like(*t_grid, sizes_of(grid), grid.scalar_type(), input, op, "t_grid");
  if (grad_output) check_like(*grad_output, output_sizes(input, grid), returned, input, op, "grad_output");
  Backend backend(input);
  const Sizes output = output_sizes(input, grid);
  int64_t outputs = 1;
  for (const int64_t size : output) outputs *= size;
  const bool empty = outputs == 0;
  SecondGradients gradients;
  auto& [grad_grad_output, grad_input, grad_grid, grad_fill] = gradients;
  if (output_mask[0]) {
    grad_grad_output = allocate(input, returned, output, empty, memory_format_of(input));
    call.grad_grad_output = output_array(grad_grad_output, grad_grad_output.mutable_data_ptr(), input.scalar_type());
  }
  if (output_mask[1]) {
    grad_input = allocate(input, computed, sizes_of(input), true, memory_format_of(input));
    call.grad_input = image_array(grad_input, grad_input.mutable_data_ptr());
  }
  if (output_mask[2]) {
    grad_grid = allocate(grid, computed, sizes_of(grid), empty);
    call.grad_grid = grid_array(grad_grid, grad_grid.mutable_data_ptr());
  }
  if (!empty) {
    std::vector<Tensor> kept;  // copies, until the kernels are through with them
    const auto keep = [&](Tensor tensor) -> const Tensor& { return kept.emplace_back(std::move(tensor)); };
    const auto flat_grid = [&](const Tensor& tensor) {
      const Tensor& flat = keep(computed_grid(tensor));
      return grid_array(flat, data_of(flat));
    };
    call.input = image_array(input, data_of(input));
    call.grid = flat_grid(grid);
    if (t_grid) call.tangent_grid = flat_grid(*t_grid);
    if (t_input) call.tangent_input = image_array(*t_input, data_of(*t_input));
    if (grad_output) {
      const Tensor& flat = keep(with_flat_dims(*grad_output, 2, grad_output->dim()));
      call.grad_output = output_array(flat, data_of(flat), input.scalar_type());
    }
    const Tensor scratch = scratch_for(backend, call, deterministic, input);
    backend.grid_sample_double_backward(call, deterministic);
  }
  round_to(grad_input, input);
  round_to(grad_grid, grid);
  return gradients;
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

STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CPU, m) { register_kernels<stn::ops::CpuKeyBackend>(m); }

#if defined(STN_WITH_CUDA)
STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CUDA, m) { register_kernels<stn::ops::CudaBackend>(m); }
#endif
