#pragma once
#include "fuzzed_transform.h"
#include "scratch.h"

/// One call of the sampler that gets its coordinates from a transform: the forward, or gradients of input and parameters.
inline void check_transform_sample(Random& random) {
  stn::SampleCall call = transformed_image(random);
  call.mode = any_of(random, stn::kInterpolationModes);
  const bool backward = random.below(3), many = random.below(10) == 0, filled = random.below(4) == 0;
  const int64_t mask = backward ? 1 + random.below(3) : 0;
  for (stn::PaddingMode& axis : call.padding) axis = any_of(random, stn::kPaddingModes);
  if (random.below(2)) pad_alike(call, call.padding[0]);
  set_batch(call, 1 + random.below(3));
  if (random.below(3) == 0) (random.below(2) ? call.input_batch : call.grid_batch) = 1;
  call.channels = 1 + random.below(many ? 2 : random.below(2) ? 3 : 20);
  draw_sizes(random, call.dims, random.below(3) ? 1500 / (call.batch * call.channels) + 1 : 8, call.size);
  const double taps = std::pow(call.mode == stn::InterpolationMode::kBicubic ? 4 : 2, call.dims);
  const stn::ScalarType computed = computed_in(call.dtype);
  const auto dtype = [&] { return random.below(2) ? computed : call.dtype; };
  const auto number = [&] { return random.uniform() * 2 - 1; };
  FuzzedTransform transform(random, computed, call.grid_batch, call, true,
                            std::max<int64_t>(1, 5000 / int64_t(taps * call.batch * call.channels)), many);
  const bool judged = transform.ordinary;
  if (backend::kIsCuda && (mask & 1) && !transform.is_flow()) {  // it gathers
    for (stn::PaddingMode& axis : call.padding) axis = random.below(2) ? stn::PaddingMode::kZeros : stn::PaddingMode::kBorder;
  }
  call.transform = transform.arrays;
  const int64_t locations = call.locations = transform.arrays.locations();
  const std::vector<int64_t> images{call.input_batch, call.channels, call.size[0], call.size[1], call.size[2]};
  std::optional<Strided> input, output, grad_output, grad_input, fill;
  input.emplace(array("input", random, call.dtype, images, Role::kInput)).fill(number);
  const std::vector<int64_t> outputs{call.batch, call.channels, locations};
  if (!backward) output.emplace(array("output", random, dtype(), outputs, Role::kOutput));
  if (backward) grad_output.emplace(array("grad_output", random, dtype(), outputs, Role::kInput)).fill(number);
  if (filled) fill.emplace(array("fill", random, computed, {call.batch, call.channels}, Role::kInput)).fill(number);
  if (mask & 1) grad_input.emplace(array("grad_input", random, computed, images, kGradInput));
  if (backend::kIsCuda && grad_input && transform.is_flow())
    grad_input->fill([] { return 0.0; });  // by a theta every element is written
  call.input = image_array(input), call.grad_input = image_array(grad_input);
  for (stn::ImageArray* image : {&call.input, &call.grad_input}) {
    if (call.input_batch == 1) image->batch_stride = 0;
  }
  call.output = location_array(output, call.dtype), call.grad_output = location_array(grad_output, call.dtype);
  if (fill) call.fill = {fill->data(), fill->strides[0], fill->strides[1]};
  if (mask & 2) {
    transform.make_gradient(computed, backend::theta_partials(call));
    call.transform = transform.arrays;
  }
  CHECK(backend::can_transform_backward(call, false), "these paddings");
  const bool in_order = !backend::kIsCuda || !(transform.is_flow() && grad_input);
  CHECK(backend::can_transform_backward(call, true) == in_order, "a flow's atomics have no order");
  const int64_t atomics_before = backend::atomics();
  const int error = backend::with_any_indices(random, [&] {
    if (!backward) return backend::grid_sample(call);
    const auto scratch = scratch_for(call, false);
    return backend::grid_sample_backward(call, false);
  });
  CHECK(error == 0, "%s", backend::error_string(error));
  Expected outcome(call.batch * call.channels * locations), grad_images(input->count()), gradients(transform.count());
  int64_t additions = 0;
  for (int64_t n = 0; n < call.batch && judged; ++n) {
    for (int64_t p = 0; p < locations; ++p) {
      const FuzzedTransform::At at = transform.at(n, p);
      double gradient[stn::kMaxDims] = {}, bound[stn::kMaxDims] = {}, off = 32 * epsilon_of(computed), scale = 1;
      for (int e = 0; e < call.dims; ++e) off += 4 * at.error[e], scale = std::max(scale, double(call.size[e]));
      const double weight = off + 4 * scale * epsilon_of(computed);
      definition::for_each_pixel(at.coordinate, call, [&](const definition::Pixel& pixel) {
        const auto* index = pixel.index;
        if (!pixel.outside) additions += call.channels;
        for (int64_t c = 0; c < call.channels; ++c) {
          const double value = pixel.outside
                                   ? fill->load(fill->offset(n, c))
                                   : input->load(input->offset(n % call.input_batch, c, index[0], index[1], index[2]));
          const double g = backward ? grad_output->load(grad_output->offset(n, c, p)) : 0;
          outcome.add((n * call.channels + c) * locations + p, pixel.weight * value, weight);
          const int64_t plane = (n % call.input_batch * call.channels + c) * call.size[0] + index[0];
          if (!pixel.outside) {
            const int64_t to = (plane * call.size[1] + index[1]) * call.size[2] + index[2];
            grad_images.add(to, g * pixel.weight,
                            weight + epsilon_of(computed) * std::fabs(grad_images.value[to]));  // of the sum
          }
          for (int e = 0; e < call.dims; ++e) gradient[e] += g * pixel.first[e] * value, bound[e] += 4 * weight;
        }
      });
      if (mask & 2) transform.add_gradient(gradients, n, p, at, gradient, bound, false);
    }
  }
  transform.check_inputs(), input->check_untouched("input");
  if (output) check_result(*output, outcome, judged, "output");
  if (grad_input) check_result(*grad_input, grad_images, judged, "grad_input");
  if (mask & 2) transform.check_gradient(gradients, judged);
  const int64_t atomics = backend::atomics() - atomics_before;
  const bool adds = backend::kIsCuda && grad_input && transform.is_flow();
  if (judged || !adds) CHECK(atomics == (adds ? additions : 0), "%ld atomics, not %ld", long(atomics), long(additions));
}
