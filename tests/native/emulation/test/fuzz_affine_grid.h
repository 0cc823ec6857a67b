#pragma once
#include "fuzz.h"

/// One call of affine_grid or its backward.
inline void check_affine_grid(Random& random) {
  stn::AffineGridCall call{};
  call.dtype = draw_dtype(random);
  call.dims = draw_dims(random);
  call.align_corners = random.below(2);
  call.batch = 1 + random.below(3);
  const bool many = random.below(8) == 0;  // several blocks share a sum
  draw_sizes(random, call.dims, many ? 12000 : 600, call.size);
  const int64_t locations = call.size[0] * call.size[1] * call.size[2];
  const stn::ScalarType computed = computed_in(call.dtype);
  const bool backward = random.below(2);
  const double eps = epsilon_of(computed);
  const auto number = [&] { return random.uniform() * 2 - 1; };
  Strided grid =
      array("affine_grid", random, call.dtype, {call.batch, call.dims, locations}, backward ? Role::kInput : Role::kOutput);
  call.grid = {grid.data(), grid.strides[0], grid.strides[2], grid.strides[1]};
  Strided theta = array("theta", random, computed, {call.batch, call.dims, call.dims + 1}, Role::kInput);
  theta.fill(number);
  call.theta = theta.data();
  std::copy_n(theta.strides.begin(), 3, call.theta_stride);
  Expected grids(grid.count()), grad_theta(theta.count());
  if (backward) grid.fill(number);
  const auto exactly = [](const char* name, int64_t count, int64_t bytes) {
    const int64_t all = (count - (lacking == name)) * bytes;
    std::unique_ptr<unsigned char[]> block(new unsigned char[all]);
    std::memset(block.get(), 0xff, all);
    return block;
  };
  const auto results = exactly("grad_theta", theta.count(), bytes_of(call.dtype));
  const auto partial = exactly("partial", stn::cuda::affine_grid_partials(call), sizeof(double));
  call.grad_theta = results.get();
  call.partial = reinterpret_cast<double*>(partial.get());
  const int error = with_any_indices(
      random, [&] { return (backward ? stn::cuda::affine_grid_backward : stn::cuda::affine_grid)(call, nullptr); });
  CHECK(error == 0, "%s", stn::cuda::error_string(error));
  for (int64_t n = 0; n < call.batch; ++n) {
    for (int64_t p = 0; p < locations; ++p) {
      double base[stn::kMaxDims + 1];
      int64_t rest = p;
      for (int e = 0; e < call.dims; rest /= call.size[e++]) {
        base[e] = definition::base_coordinate(rest % call.size[e], call.size[e], call.align_corners);
      }
      base[call.dims] = 1;
      for (int e = 0; e < call.dims; ++e) {
        for (int j = 0; j <= call.dims; ++j) {
          const int64_t k = (n * call.dims + e) * (call.dims + 1) + j;
          if (backward)
            grad_theta.add(k, base[j] * grid.load(grid.offset(n, e, p)), (2 + std::fabs(grad_theta.value[k])) * eps);
          else
            grids.add((n * call.dims + e) * locations + p, base[j] * theta.load(theta.offset(n, e, j)), 4 * eps);
        }
      }
    }
  }
  theta.check_untouched("theta");
  if (!backward) return check_result(grid, grids, true, "affine_grid");
  grid.check_untouched("affine_grid");
  for (int64_t k = 0; k < theta.count(); ++k) {
    const double value = load_number(call.dtype, results.get() + k * bytes_of(call.dtype)), expected = grad_theta.value[k];
    const double bound = grad_theta.error[k] + epsilon_of(call.dtype) * std::fabs(expected);
    CHECK(std::fabs(value - expected) <= bound, "grad_theta: element %ld is %.17g, not %.17g", long(k), value, expected);
  }
}
