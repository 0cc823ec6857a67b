#pragma once
#include "fuzzed_transform.h"

/// One call of transform_grid or its backward, along a tangent or not.
inline void check_transform_grid(Random& random) {
  stn::SampleCall image = transformed_image(random);
  draw_sizes(random, image.dims, 1000, image.size);
  const stn::ScalarType dtype = image.dtype, computed = computed_in(dtype);
  stn::TransformGridCall call{};
  call.dtype = dtype, call.batch = 1 + random.below(3);
  const bool many = random.below(8) == 0;  // several blocks share a sum
  FuzzedTransform transform(random, computed, call.batch, image, random.below(3) == 0, many ? 12000 / call.batch : 300);
  const int64_t what = random.below(5);  // odd, because the lowest bits of draws in a row depend on each other
  const bool backward = what > 2, second = call.along_tangent = what == 1 || what == 2 || what == 4;
  const int dims = image.dims;
  const int64_t locations = transform.arrays.locations();
  Strided grid = array("transform_grid", random, dtype, {call.batch, dims, locations}, backward ? Role::kInput : Role::kOutput);
  if (backward) grid.fill([&] { return random.uniform() * 2 - 1; });
  if (second) transform.make_tangent();
  call.grid = location_array(grid, dtype);
  call.transform = transform.arrays;
  if (backward) transform.make_gradient(dtype, backend::theta_partials(call));
  call.transform = transform.arrays;
  const int error = backend::with_any_indices(
      random, [&] { return (backward ? backend::transform_grid_backward : backend::transform_grid)(call); });
  CHECK(error == 0, "%s", backend::error_string(error));
  Expected grids(grid.count()), gradients(transform.count());
  const double eps = epsilon_of(computed);
  for (int64_t n = 0; n < call.batch && transform.ordinary; ++n) {
    for (int64_t p = 0; p < locations; ++p) {
      const FuzzedTransform::At at = transform.at(n, p);
      double gradient[stn::kMaxDims] = {}, exact[stn::kMaxDims] = {};
      for (int e = 0; e < dims; ++e) {
        const int64_t to = (n * dims + e) * locations + p;
        const double by_w = at.w_size / std::fabs(at.w) * (1 + std::fabs(at.t_w)) / std::fabs(at.w);
        const double largest = 4 + std::fabs(at.ratio[e]) + std::fabs(at.t_ratio[e]);
        grids.add(to, second ? at.along[e] : at.coordinate[e],
                  at.error[e] + 32 * eps * second * by_w * at.w_size * largest * at.unit[e]);
        if (backward) gradient[e] = grid.load(grid.offset(n, e, p));
      }
      if (backward) transform.add_gradient(gradients, n, p, at, gradient, exact, second);
    }
  }
  transform.check_inputs();
  if (backward) {
    grid.check_untouched("transform_grid");
    transform.check_gradient(gradients, transform.ordinary);
  } else if (transform.ordinary) {
    check_result(grid, grids, true, "transform_grid");
  } else {
    grid.check_untouched("transform_grid");
  }
}
