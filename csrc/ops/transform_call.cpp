#include "transform_call.h"

namespace stn::ops {
namespace {

/// What theta's entries are multiplied by, see core/transform.h.
void set_theta_units(TransformArrays& transform, const CoordinateUnits& units) {
  const auto extent = [&](int64_t size) { return static_cast<double>(units.centres ? size - 1 : size); };
  for (int j = 0; j < transform.dims; ++j) {
    const double out = extent(transform.size[j]);
    const double per_pixel = out > 0 ? 1 / out : 0;  // an axis without extent has the position 0
    for (int e = 0; e < transform.dims; ++e) {
      const int64_t size = units.pixels ? units.in_size[units.in_size.size() - 1 - e] : 0;
      const double in = units.pixels ? extent(size) : 2;
      transform.unit[e][j] = out > 0 ? in / out : 0;
      transform.unit[e][transform.dims] = in / 2;
      transform.centre[e] = units.pixels ? static_cast<double>(size - 1) / 2 : 0;
    }
    transform.unit[transform.dims][j] = 2 * per_pixel;
  }
  transform.unit[transform.dims][transform.dims] = 1;
}

void set_flow_units(TransformArrays& transform, const CoordinateUnits& units) {
  for (int e = 0; e < transform.dims; ++e) {
    const int64_t size = units.in_size[units.in_size.size() - 1 - e];
    const int64_t extent = units.centres ? size - 1 : size;
    transform.unit[e][e] = units.pixels ? 1 : extent > 0 ? 2 / static_cast<double>(extent) : 0;
    transform.centre[e] = units.pixels ? 0 : static_cast<double>(size - 1) / 2;
  }
}

Tensor computed(const Tensor& tensor, std::vector<Tensor>& kept) {
  return kept.emplace_back(converted(tensor, accumulate_dtype(tensor.scalar_type())));
}

LocationArray flow_array(const Tensor& tensor, std::vector<Tensor>& kept) {
  const Tensor& flat = kept.emplace_back(with_flat_dims(computed(tensor, kept), 2, tensor.dim()));
  return output_array(flat, data_of(flat), flat.scalar_type());
}

const void* theta_array(const Tensor& tensor, int64_t (&stride)[3], std::vector<Tensor>& kept) {
  const Tensor theta = computed(tensor, kept);
  for (int i = 0; i < 3; ++i) stride[i] = theta.size(i) == 1 ? 0 : theta.stride(i);
  return theta.const_data_ptr();
}

}  // namespace

TransformArrays make_transform(int64_t kind, const Sizes& size, const CoordinateUnits& units, const char* op) {
  TransformArrays transform;
  transform.kind = check_mode(kTransformKinds, kind, op, "transform");
  transform.dims = static_cast<int>(size.size());
  check_value(transform.dims == 2 || transform.dims == 3, op, ": expected size (H, W) or (D, H, W), got ", text_of(size));
  for (const int64_t entry : size) check_value(entry >= 0, op, ": expected size without negative entries, got ", text_of(size));
  for (int e = 0; e < transform.dims; ++e) transform.size[e] = size[size.size() - 1 - e];
  const bool is_flow = transform.kind == TransformKind::kFlow, wants_size = is_flow || units.pixels;
  check_value(!wants_size || units.in_size.size() == size.size(), op, ": expected in_size with ", size.size(), " entries, got ",
              text_of(units.in_size));
  for (const int64_t entry : wants_size ? units.in_size : Sizes{})
    check_value(entry > 0, op, ": expected in_size with positive entries, got ", text_of(units.in_size));
  if (is_flow) {
    set_flow_units(transform, units);
  } else {
    set_theta_units(transform, units);
  }
  return transform;
}

Sizes parameter_sizes(const TransformArrays& transform, int64_t batch) {
  if (transform.kind != TransformKind::kFlow) return {batch, transform.rows(), transform.dims + 1};
  Sizes sizes{batch, transform.dims};
  for (int e = transform.dims - 1; e >= 0; --e) sizes.push_back(transform.size[e]);
  return sizes;
}

void check_parameters(const TransformArrays& transform, const Tensor& parameters, const char* op) {
  check_defined(parameters, op, "parameters");
  const Sizes sizes = sizes_of(parameters);
  const Sizes expected = parameter_sizes(transform, sizes.empty() ? 0 : sizes[0]);
  check_value(sizes == expected, op, ": expected parameters of shape ", text_of(expected), ", got ", text_of(sizes));
}

void set_parameters(TransformArrays& transform, const Tensor& parameters, std::vector<Tensor>& kept) {
  if (transform.kind == TransformKind::kFlow) {
    transform.flow = flow_array(parameters, kept);
  } else {
    transform.theta = theta_array(parameters, transform.theta_stride, kept);
  }
}

void set_tangent(TransformArrays& transform, const Tensor& tangent, std::vector<Tensor>& kept) {
  if (transform.kind == TransformKind::kFlow) {
    transform.tangent_flow = flow_array(tangent, kept);
  } else {
    transform.tangent_theta = theta_array(tangent, transform.tangent_stride, kept);
  }
}

void set_gradient(TransformArrays& transform, Tensor& gradient) {
  if (transform.kind == TransformKind::kFlow) {
    transform.grad_flow = output_array(gradient, gradient.mutable_data_ptr(), accumulate_dtype(gradient.scalar_type()));
  } else {
    transform.grad_theta = gradient.mutable_data_ptr();
  }
}

}  // namespace stn::ops
