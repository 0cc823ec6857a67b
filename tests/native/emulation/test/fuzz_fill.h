#pragma once
#include "fuzz.h"

/// One call of the fill value's gradient.
inline void check_fill_gradient(Random& random) {
  stn::FillGradientCall call{};
  call.dtype = draw_dtype(random);
  call.batch = 1 + random.below(3);
  call.channels = 1 + random.below(8);
  call.locations = 1 + random.below(random.below(8) == 0 ? 2000 : 40);
  call.fill_batch = random.below(2) ? call.batch : 1;
  const stn::ScalarType computed = computed_in(call.dtype);
  const auto number = [&] { return random.below(4) ? random.uniform() * 2 - 1 : 0; };
  Strided grad_output = array("grad_output", random, random.below(2) ? computed : call.dtype,
                              {call.batch, call.channels, call.locations}, Role::kInput);
  Strided weight = array("fill_weight", random, computed, {random.below(2) ? call.batch : 1, 1, call.locations}, Role::kInput);
  Strided grad_fill = array("grad_fill", random, computed, {call.fill_batch, call.channels}, Role::kOutput);
  grad_output.fill(number), weight.fill(number);
  call.grad_output = location_array(grad_output, call.dtype);
  call.weight = location_array(weight, computed);
  if (weight.shape[0] == 1) call.weight.batch_stride = 0;
  call.grad_fill = {grad_fill.data(), grad_fill.strides[0], grad_fill.strides[1]};
  const int error = backend::with_any_indices(random, [&] { return backend::fill_gradient(call); });
  CHECK(error == 0, "%s", backend::error_string(error));
  Expected sums(grad_fill.count());
  for (int64_t n = 0; n < call.batch; ++n) {
    for (int64_t c = 0; c < call.channels; ++c) {
      for (int64_t p = 0; p < call.locations; ++p) {
        const double term =
            grad_output.load(grad_output.offset(n, c, p)) * weight.load(weight.offset(n % weight.shape[0], 0, p));
        const int64_t to = n % call.fill_batch * call.channels + c;
        sums.add(to, term, (1 + std::fabs(sums.value[to])) * epsilon_of(stn::ScalarType::kDouble));  // of each addition
      }
    }
  }
  grad_output.check_untouched("grad_output"), weight.check_untouched("fill_weight");
  check_result(grad_fill, sums, true, "grad_fill");
}
