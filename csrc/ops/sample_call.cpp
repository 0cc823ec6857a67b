#include "sample_call.h"

#include "transform_call.h"

namespace stn::ops {
namespace {

int64_t batch_of(const Tensor& input, const Tensor& grid) { return input.size(0) == 1 ? grid.size(0) : input.size(0); }

void check_input(const Tensor& input, const char* op) {
  check_defined(input, op, "input");
  const int64_t dims = input.dim() - 2;
  check_value(dims >= 1 && dims <= kMaxDims, op, ": expected input of shape [N, C, W], [N, C, H, W] or [N, C, D, H, W], got ",
              text_of(input));
  for (int64_t dim = 2; dim < dims + 2; ++dim) {
    check_value(input.size(dim) > 0, op, ": expected input with non-empty spatial dimensions, got ", text_of(input));
  }
}

void check_fill(const SampleCall& call, const Tensor& input, const Tensor& fill_value, const char* op) {
  check_value(fill_value.dim() == 2 && (fill_value.size(0) == call.batch || fill_value.size(0) == 1), op,
              ": expected fill_value of shape [", call.batch, " or 1, ", call.channels, "], got ", text_of(fill_value));
  check_like(fill_value, {fill_value.size(0), call.channels}, accumulate_dtype(input.scalar_type()), input, op, "fill_value");
  bool takes = false;
  for (int e = 0; e < call.dims; ++e) takes |= fill_rule(call.padding[e]) != Fill::kNothing;
  check_value(takes, op, ": expected no fill_value with a padding that has no outside");
}

/// A checked call without its arrays and locations, whose coordinates come from `source`: a grid, or parameters.
SampleCall make_call(const Tensor& input, const Tensor& source, const char* name, const SampleOptions& options,
                     const char* op) {
  SampleCall call{};
  call.dtype = check_dtype(input, op, "input");
  check_value(source.size(0) == batch_of(input, source) || source.size(0) == 1, op, ": expected ", name,
              " and input of one batch size, or of 1, got ", name, " ", text_of(source), " and input ", text_of(input));
  const bool mixes = accumulate_dtype(source.scalar_type()) == accumulate_dtype(input.scalar_type());
  check_kind(source, mixes ? source.scalar_type() : input.scalar_type(), input, op, name);
  call.mode = check_mode(kInterpolationModes, options.mode, op, "mode");
  call.coordinates = check_mode(kCoordinateConventions, options.coordinates, op, "coordinates");
  call.dims = static_cast<int>(input.dim() - 2);
  const int64_t paddings = static_cast<int64_t>(options.padding.size());
  check_value(paddings == 1 || paddings == call.dims, op, ": expected padding with 1 entry or ", call.dims, ", got ", paddings);
  call.batch = batch_of(input, source);
  call.input_batch = input.size(0);
  call.grid_batch = source.size(0);
  call.channels = input.size(1);
  for (int e = 0; e < call.dims; ++e) {
    call.padding[e] = check_mode(kPaddingModes, options.padding[paddings == 1 ? 0 : e], op, "padding");
    call.size[e] = input.size(input.dim() - 1 - e);
  }
  if (options.fill_value) check_fill(call, input, *options.fill_value, op);
  return call;
}

}  // namespace

DType output_dtype(const Tensor& input, const SampleOptions& options) {
  return options.float_output ? accumulate_dtype(input.scalar_type()) : input.scalar_type();
}

Sizes output_sizes(const Tensor& input, const Tensor& grid) {
  Sizes sizes = sizes_of(grid);
  sizes.pop_back();
  sizes[0] = batch_of(input, grid);
  sizes.insert(sizes.begin() + 1, input.size(1));
  return sizes;
}

SampleCall make_sample_call(const Tensor& input, const Tensor& grid, const SampleOptions& options, const char* op) {
  check_input(input, op);
  check_defined(grid, op, "grid");
  const int64_t dims = input.dim() - 2;
  check_value(grid.dim() >= 3 && grid.size(grid.dim() - 1) == dims, op, ": expected grid of shape [N, *out, ", dims,
              "] for input of shape ", text_of(input), ", got ", text_of(grid));
  SampleCall call = make_call(input, grid, "grid", options, op);
  call.locations = 1;
  for (int64_t dim = 1; dim < grid.dim() - 1; ++dim) call.locations *= grid.size(dim);
  return call;
}

SampleCall make_transform_call(const Tensor& input, const Tensor& parameters, int64_t kind, const Sizes& size,
                               const SampleOptions& options, const char* op) {
  check_input(input, op);
  const bool centres = options.coordinates == static_cast<int64_t>(CoordinateConvention::kCentrePixels);
  check_value(centres || options.coordinates == static_cast<int64_t>(CoordinateConvention::kPixels), op,
              ": expected coordinates to be pixels or centre_pixels, got ", options.coordinates);
  check_value(static_cast<int64_t>(size.size()) == input.dim() - 2, op, ": expected size with ", input.dim() - 2,
              " entries, got ", text_of(size));
  const Sizes in_size(input.sizes().begin() + 2, input.sizes().end());
  const TransformArrays transform = make_transform(kind, size, {in_size, true, centres}, op);
  check_parameters(transform, parameters, op);
  SampleCall call = make_call(input, parameters, "parameters", options, op);
  call.transform = transform;
  call.locations = transform.locations();
  return call;
}

SampleArguments::SampleArguments(SampleCall& call, const Tensor& input, const Tensor& source, const SampleOptions& options) {
  call.input = image_array(input, data_of(input));
  if (call.transform.exist()) {
    set_parameters(call.transform, source, kept_);
  } else {
    call.grid = grid(source);
  }
  if (options.fill_value) call.fill = channel_array(*options.fill_value, data_of(*options.fill_value));
}

LocationArray SampleArguments::output(const Tensor& tensor, const Tensor& input) {
  const Tensor& flat = kept_.emplace_back(with_flat_dims(tensor, 2, tensor.dim()));
  return output_array(flat, data_of(flat), input.scalar_type());
}

LocationArray SampleArguments::grid(const Tensor& tensor) {
  const Tensor wide = converted(tensor, accumulate_dtype(tensor.scalar_type()));
  const Tensor& flat = kept_.emplace_back(with_flat_dims(wide, 1, wide.dim() - 1));
  return grid_array(flat, data_of(flat));
}

SampleGradients::SampleGradients(SampleCall& call, const Tensor& input_argument, const Tensor& source_argument,
                                 const SampleOptions& options, bool wants_input, bool wants_grid, bool wants_fill,
                                 bool no_locations, bool zero_input) {
  const DType computed = accumulate_dtype(input_argument.scalar_type());
  if (wants_input) {
    input = allocate(input_argument, computed, sizes_of(input_argument), no_locations || zero_input,
                     memory_format_of(input_argument));
    call.grad_input = image_array(input, input.mutable_data_ptr());
  }
  if (wants_grid) {
    grid = allocate(source_argument, computed, sizes_of(source_argument), no_locations);
    if (call.transform.exist()) {
      set_gradient(call.transform, grid);
    } else {
      call.grad_grid = grid_array(grid, grid.mutable_data_ptr());
    }
  }
  if (wants_fill) fill = allocate(input_argument, computed, sizes_of(*options.fill_value), true);
}

void SampleGradients::round_to(const Tensor& input_argument, const Tensor& source_argument) {
  if (input.defined()) input = converted(input, input_argument.scalar_type());
  if (grid.defined()) grid = converted(grid, source_argument.scalar_type());
}

SampleCall fill_weight_call(const SampleCall& call, const Tensor& zero, const Tensor& one) {
  SampleCall weight = call;
  weight.dtype = check_dtype(zero, "fill_weight_call", "zero");
  weight.batch = call.grid_batch;
  weight.input_batch = weight.channels = 1;
  weight.transform.grad_flow = {};
  weight.transform.grad_theta = nullptr;
  weight.input = {data_of(zero)};
  weight.fill = {data_of(one)};
  weight.output = weight.grad_output = weight.grad_grad_output = weight.grad_grid = {};
  weight.grad_input = weight.tangent_input = {};
  weight.tangent_fill = {};
  return weight;
}

}  // namespace stn::ops
