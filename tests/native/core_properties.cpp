// Properties of csrc/core, by g++ alone under ASan and UBSan: what holds for every mode, padding and coordinate.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "../../csrc/core/bins.h"
#include "../../csrc/core/dispatch.h"
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

/// NOTE [ Bins ]: at each tap that a sort serves, locations of one bin have one pixel, or all none, and no other bin has it.
template <int kDims, InterpolationMode kMode>
void check_bins(Random& random, PaddingMode padding) {
  using OfMode = Bins<kMode, kDims>;
  using Pixel = std::array<int64_t, kDims + 1>;  // and its image
  const Pixel none{-1};
  for (const auto& convention : kCoordinateConventions) {
    Axis<float> axes[kDims];
    uint64_t bins = 2;
    for (int e = 0; e < kDims; ++e) {
      const int64_t size = 1 + random.below(4);
      axes[e] = Axis<float>::make(size, convention.value, padding);
      bins *= size + OfMode::kReach;
    }
    std::vector<std::map<uint64_t, Pixel>> pixel_of(OfMode::kTaps);
    std::vector<std::map<Pixel, uint64_t>> bin_of(OfMode::kTaps);
    for (int i = 0; i < 2000; ++i) {
      const int64_t n = random.below(2);
      float x[kDims];
      for (float& value : x) value = any_coordinate<float>(random);
      const Stencil<kDims, kMode, RuntimePadding, 0, float, int64_t> stencil(x, axes);
      for (int tap = 0; tap < OfMode::kTaps; ++tap) {
        const uint64_t bin = OfMode::of(stencil, axes, n, tap / OfMode::kTapsOfSort, bins);
        CHECK(bin <= bins, "bin %ld of %ld", long(bin), long(bins));
        const auto one = stencil.only(tap);
        Pixel pixel{n};
        for (int e = 0; e < kDims; ++e) {
          pixel[e + 1] = one.axis[e].index[0];
          CHECK(pixel[e + 1] == stencil.axis[e].index[stencil.digit(tap, e)], "tap %d alone", tap);
        }
        CHECK(one.inside(0) == stencil.inside(tap) && one.weight(0) == stencil.weight(tap), "tap %d alone", tap);
        if (!one.inside(0)) pixel = none;
        CHECK(pixel == none || bin < bins, "tap %d is inside, and its location is in the bin of those without any", tap);
        const bool same = pixel_of[tap].try_emplace(bin, pixel).first->second == pixel;
        CHECK(same, "two pixels of one bin at tap %d, coordinate %g", tap, double(x[0]));
        if (pixel == none) continue;
        CHECK(bin_of[tap].try_emplace(pixel, bin).first->second == bin, "two bins of one pixel at tap %d", tap);
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
  std::unique_ptr<scalar_t[]> tangent_input, tangent_grid, grad_grad_output, second_grad_input, second_grad_grid;
  SampleCall call{};

  Buffers(Random& random, int dims, CoordinateConvention coordinates, PaddingMode padding) {
    call.dims = dims;
    pad_alike(call, padding);
    call.coordinates = coordinates;
    set_batch(call, 1 + random.below(2));
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
    fill(tangent_input, in, noise);
    fill(tangent_grid, coordinates_count, noise);
    fill(grad_grad_output, out, [] { return scalar_t(NAN); });
    fill(second_grad_input, in, [] { return scalar_t(0); });
    fill(second_grad_grid, coordinates_count, [] { return scalar_t(NAN); });
  }

  /// The same call for the second derivatives.
  SampleCall second() const {
    SampleCall second = call;
    second.tangent_input = call.input;
    second.tangent_input.data = tangent_input.get();
    second.tangent_grid = call.grid;
    second.tangent_grid.data = tangent_grid.get();
    second.grad_grad_output = call.output;
    second.grad_grad_output.data = grad_grad_output.get();
    second.grad_input.data = second_grad_input.get();
    second.grad_grid.data = second_grad_grid.get();
    return second;
  }
};

template <typename scalar_t>
double dot(const std::unique_ptr<scalar_t[]>& a, const std::unique_ptr<scalar_t[]>& b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    CHECK(std::isfinite(a[i]) && std::isfinite(b[i]), "%ld of %ld: %g, %g", long(i), long(count), double(a[i]), double(b[i]));
    sum += double(a[i]) * double(b[i]);
  }
  return sum;
}

/// Forward, backward and double backward stay inside their buffers and give finite numbers for any grid. The first is linear in
/// input, with the backward as its transpose; and with tangents tI and tx of input and grid, whose output has the tangent t,
/// <grad_output, t> = <grad_input, tI> + <grad_grid, tx>, where what tx adds is <input, second grad_input>.
template <typename scalar_t, int kDims, InterpolationMode kMode, typename Pad>
void check_sampling(Random& random, PaddingMode padding) {
  for (const auto& convention : kCoordinateConventions) {
    for (int round = 0; round < 100; ++round) {
      const Buffers<scalar_t> buffers(random, kDims, convention.value, padding);
      const SampleCall& call = buffers.call;
      using params_t = SampleParams<kDims, scalar_t, int32_t>;
      const params_t params(call), second(buffers.second());
      const auto add = [](scalar_t* to, scalar_t value) { *to += value; };
      for (int32_t n = 0; n < params.batch; ++n) {
        for (int32_t location = 0; location < params.locations; ++location) {
          const Visit<int32_t> at{n, location, 0, 1};
          scalar_t gradient[kDims] = {}, second_gradient[kDims] = {};
          sample_location<kMode, Pad>(params, at);
          sample_location_backward<kMode, Pad>(params, at, add, gradient);
          params.source.store_gradient(n, location, gradient);
          sample_location_double_backward<kMode, Pad>(second, at, add, second_gradient);
          second.source.store_gradient(n, location, second_gradient);
        }
      }
      const int64_t in = call.batch * call.input.batch_stride, out = call.batch * call.channels * call.locations;
      const int64_t coordinates = call.batch * call.locations * kDims;
      const double forward = dot(buffers.output, buffers.grad_output, out);
      const double transposed = dot(buffers.grad_input, buffers.input, in);
      CHECK(std::fabs(forward - transposed) < 1e-4, "forward %g, its transpose %g", forward, transposed);
      const double along_input = dot(buffers.grad_input, buffers.tangent_input, in);
      const double along_grid = dot(buffers.grad_grid, buffers.tangent_grid, coordinates);
      const double tangent = dot(buffers.grad_grad_output, buffers.grad_output, out);
      const double second_input = dot(buffers.second_grad_input, buffers.input, in);
      const double scale = 1 + std::fabs(along_input) + std::fabs(along_grid);
      CHECK(std::fabs(tangent - along_input - along_grid) < 1e-4 * scale, "%g, %g, %g", tangent, along_input, along_grid);
      CHECK(std::fabs(second_input - along_grid) < 1e-4 * scale, "%g, %g", second_input, along_grid);
      dot(buffers.second_grad_grid, buffers.second_grad_grid, coordinates);
      for (int64_t i = 0; i < coordinates && !Interpolation<kMode>::kDifferentiable; ++i) {
        CHECK(buffers.grad_grid[i] == 0 && buffers.second_grad_grid[i] == 0, "grad_grid[%ld] of nearest", long(i));
      }
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
    check_bins<kDims, kMode>(random, padding);
    if (kDims == 1) check_derivatives<kMode, Pad>(random, padding);
  });
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
