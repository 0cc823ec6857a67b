// Properties of csrc/core, by g++ alone under ASan and UBSan: what holds for every mode, padding and coordinate.
#include <cmath>
#include <memory>
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/core/sample.h"
#include "checks.h"

using namespace stn;

namespace {

constexpr int kCoordinates = 1000000;

/// Indices of taps inside are pixels; weights are finite and sum to 1 over all taps; their derivatives sum to 0.
template <typename scalar_t, int kDims, InterpolationMode kMode, typename Pad>
void check_stencils(Random& random, PaddingMode padding, int count) {
  const int64_t sizes[] = {1, 2, 3, 7, 64, 1000, 16777219, 1073741000};
  for (const auto& convention : kCoordinateConventions) {
    for (const int64_t size : sizes) {
      Axis<scalar_t> axes[kDims];
      for (int e = 0; e < kDims; ++e) axes[e] = Axis<scalar_t>::make(size, convention.value, padding);
      for (int i = 0; i < count; ++i) {
        scalar_t x[kDims];
        for (int e = 0; e < kDims; ++e) x[e] = any_coordinate<scalar_t>(random);
        const Stencil<kDims, kMode, Pad, 1, scalar_t, int64_t> stencil(x, axes);
        for (int e = 0; e < kDims; ++e) {
          for (int k = 0; k < stencil.kAxisTaps; ++k) {
            const int64_t index = stencil.axis[e].index[k];
            CHECK(!stencil.axis[e].inside[k] || (index >= 0 && index < size), "index %ld of size %ld for %g", long(index),
                  long(size), double(x[e]));
          }
        }
        scalar_t weight = 0, derivative[kDims] = {};
        for (int tap = 0; tap < stencil.kTaps; ++tap) {
          weight += stencil.weight(tap);
          for (int e = 0; e < kDims; ++e) derivative[e] += stencil.derivative(tap, e);
        }
        CHECK(std::fabs(weight - 1) < 1e-5, "weights sum to %g at %g", double(weight), double(x[0]));
        for (int e = 0; e < kDims; ++e) {
          CHECK(std::fabs(derivative[e]) <= 4e-5 * (1 + axes[e].scale), "derivatives sum to %g at %g", double(derivative[e]),
                double(x[e]));
        }
      }
    }
  }
}

/// On one axis, away from kinks: first derivatives are the difference quotients of weights, second ones those of the first.
template <InterpolationMode kMode, typename Pad>
void check_derivatives(Random& random, PaddingMode padding) {
  using OneAxis = Stencil<1, kMode, Pad, 2, double, int64_t>;
  for (const auto& convention : kCoordinateConventions) {
    for (int i = 0; i < 20000; ++i) {
      const Axis<double> axes[1] = {Axis<double>::make(2 + random.below(30), convention.value, padding)};
      const double step = 1e-6, x = random.uniform() * 6 - 3;
      const double pixel = 2 * unnormalize(x, axes[0]);  // kinks are at halves of a pixel
      if (std::fabs(pixel - std::nearbyint(pixel)) < 1e-3) continue;
      // The d-th derivative of what a ramp (3 at the first pixel) reads at a coordinate.
      const auto ramp = [&](int d, double at) {
        const double coordinate[1] = {at};
        const OneAxis stencil(coordinate, axes);
        double sum = 0;
        for (int k = 0; k < stencil.kTaps; ++k) {
          const double weight = d == 0   ? stencil.weight(k)
                                : d == 1 ? stencil.derivative(k, 0)
                                         : stencil.second_derivative(k, 0, 0);
          if (stencil.inside(k)) sum += weight * double(3 + stencil.axis[0].index[k]);
        }
        return sum;
      };
      for (int d = 0; d < 2; ++d) {
        const double difference = (ramp(d, x + step) - ramp(d, x - step)) / (2 * step);
        CHECK(std::fabs(ramp(d + 1, x) - difference) < 1e-4 * (1 + std::fabs(difference)),
              "derivative %d: %g, differences %g at %g", d + 1, ramp(d + 1, x), difference, x);
      }
    }
  }
}

/// Buffers of exactly the size of each array, so that ASan sees an access one element beyond.
template <typename scalar_t>
struct Buffers {
  std::unique_ptr<scalar_t[]> input, grid, output, grad_output, grad_input, grad_grid;
  SampleCall call{};

  Buffers(Random& random, int dims, CoordinateConvention coordinates, PaddingMode padding) {
    call.dims = dims;
    call.padding = padding;
    call.coordinates = coordinates;
    call.batch = 1 + random.below(2);
    call.channels = 1 + random.below(3);
    call.locations = 1 + random.below(40);
    int64_t plane = 1;
    for (int e = 0; e < dims; ++e) {
      call.size[e] = 1 + random.below(6);
      call.input.axis_stride[e] = plane;
      plane *= call.size[e];
    }
    call.input.channel_stride = plane;
    call.input.batch_stride = plane * call.channels;
    const int64_t in = call.batch * call.input.batch_stride, out = call.batch * call.channels * call.locations;
    const int64_t coordinates_count = call.batch * call.locations * dims;
    call.grid = {nullptr, call.locations * dims, dims, 1};
    call.output = {nullptr, call.locations * call.channels, 1, call.locations};
    call.grad_output = call.output;
    call.grad_input = call.input;
    call.grad_grid = call.grid;
    const auto fill = [&](std::unique_ptr<scalar_t[]>& buffer, int64_t count, auto value) {
      buffer.reset(new scalar_t[count]);
      for (int64_t i = 0; i < count; ++i) buffer[i] = value();
      return static_cast<void*>(buffer.get());
    };
    const auto noise = [&] { return scalar_t(random.uniform() - 0.5); };
    call.input.data = fill(input, in, noise);
    call.grid.data = fill(grid, coordinates_count, [&] { return any_coordinate<scalar_t>(random); });
    call.output.data = fill(output, out, [] { return scalar_t(NAN); });
    call.grad_output.data = fill(grad_output, out, noise);
    call.grad_input.data = fill(grad_input, in, [] { return scalar_t(0); });
    call.grad_grid.data = fill(grad_grid, coordinates_count, [] { return scalar_t(NAN); });
  }
};

/// Forward and backward stay inside their buffers, give finite numbers for any grid, and the backward is the transpose of the
/// forward: <grad_output, output(input)> = <grad_input, input>, because the forward is linear in input.
template <typename scalar_t, int kDims, InterpolationMode kMode, typename Pad>
void check_sampling(Random& random, PaddingMode padding) {
  for (const auto& convention : kCoordinateConventions) {
    for (int round = 0; round < 300; ++round) {
      const Buffers<scalar_t> buffers(random, kDims, convention.value, padding);
      const SampleCall& call = buffers.call;
      const SampleParams<kDims, scalar_t, int32_t> params(call);
      for (int32_t n = 0; n < params.batch; ++n) {
        for (int32_t location = 0; location < params.locations; ++location) {
          sample_location<kMode, Pad>(params, n, location);
          sample_location_backward<kMode, Pad>(params, n, location, [](scalar_t* at, scalar_t value) { *at += value; });
        }
      }
      double forward = 0, transposed = 0;
      for (int64_t i = 0; i < call.batch * call.channels * call.locations; ++i) {
        CHECK(std::isfinite(buffers.output[i]), "output[%ld]", long(i));
        forward += double(buffers.output[i]) * double(buffers.grad_output[i]);
      }
      for (int64_t i = 0; i < call.batch * call.input.batch_stride; ++i) {
        transposed += double(buffers.grad_input[i]) * double(buffers.input[i]);
      }
      for (int64_t i = 0; i < call.batch * call.locations * kDims; ++i) {
        CHECK(std::isfinite(buffers.grad_grid[i]), "grad_grid[%ld]", long(i));
        CHECK(Interpolation<kMode>::kDifferentiable || buffers.grad_grid[i] == 0, "grad_grid[%ld] of nearest", long(i));
      }
      CHECK(std::fabs(forward - transposed) < 1e-4, "forward %g, its transpose %g", forward, transposed);
    }
  }
}

}  // namespace

int main() {
  Random random{20150605};
  const int count = kCoordinates / (3 * 3 * 3 * 2 * 8) + 1;  // dims, modes, paddings, conventions, sizes
  for_each_case([&](auto dims, auto mode, auto pad, PaddingMode padding) {
    constexpr int kDims = decltype(dims)::value;
    constexpr InterpolationMode kMode = decltype(mode)::value;
    using Pad = decltype(pad);
    check_stencils<float, kDims, kMode, Pad>(random, padding, count);
    check_stencils<double, kDims, kMode, Pad>(random, padding, count);
    check_sampling<float, kDims, kMode, Pad>(random, padding);
    check_sampling<double, kDims, kMode, Pad>(random, padding);
    if (kDims == 1) check_derivatives<kMode, Pad>(random, padding);
  });
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
