// The forward of the product's CUDA backend in every mode, on the host, against the definition of sampling. (fuzz.cpp has every
// launcher, by chance.) Arrays are exact heap blocks, so that AddressSanitizer sees every stray access.
#include <cmath>
#include <numeric>
#include <vector>

#include "../../../../csrc/core/dispatch.h"
#include "../../../../csrc/cuda/cuda.h"
#include "../../checks.h"
#include "definition.h"
#include "emulation.h"

using namespace stn;

namespace {

/// Sum over the tensor product of the axes' taps.
template <typename scalar_t>
double sample(const SampleCall& call, int64_t n, int64_t c, int64_t location, int axis, int64_t offset, double weight) {
  if (axis == call.dims) {
    const int64_t image = n * call.input.batch_stride + c * call.input.channel_stride;
    return weight * static_cast<const scalar_t*>(call.input.data)[image + offset];
  }
  const double coordinate = static_cast<const scalar_t*>(
      call.grid.data)[n * call.grid.batch_stride + location * call.grid.location_stride + axis * call.grid.component_stride];
  double sum = 0;
  for (const definition::Tap& tap : definition::taps(coordinate, axis, call)) {
    if (tap.index < 0) continue;
    sum += sample<scalar_t>(call, n, c, location, axis + 1, offset + tap.index * call.input.axis_stride[axis],
                            weight * tap.weight[0]);
  }
  return sum;
}

/// Coordinates a quarter of a pixel and a bit away from where a mode jumps or has a kink, inside and outside of the image.
double coordinate_off_kinks(Random& random, int64_t size, CoordinateConvention convention) {
  const double pixel = double(random.below(4 * size + 8)) * 0.5 - double(size) * 0.5 - 2 + 0.2 + 0.1 * random.uniform();
  const bool centres = convention == CoordinateConvention::kCentres;
  if (centres && size == 1) return random.uniform() * 4 - 2;
  return centres ? 2 * pixel / double(size - 1) - 1 : (2 * pixel + 1) / double(size) - 1;
}

template <typename scalar_t>
void check_forward(SampleCall call, Random& random, bool channels_last, bool wide_indices) {
  const int64_t area = std::accumulate(call.size, call.size + call.dims, int64_t(1), std::multiplies<int64_t>());
  std::vector<scalar_t> input(call.batch * call.channels * area), grid(call.batch * call.locations * call.dims);
  std::vector<scalar_t> output(call.batch * call.channels * call.locations, scalar_t(NAN));
  for (scalar_t& value : input) value = scalar_t(random.uniform() * 2 - 1);
  for (std::size_t k = 0; k < grid.size(); ++k) {
    grid[k] = scalar_t(coordinate_off_kinks(random, call.size[k % call.dims], call.coordinates));
  }
  const int64_t pixel = channels_last ? call.channels : 1;
  call.input = {input.data(), call.channels * area, channels_last ? 1 : area, {}};
  for (int64_t e = 0, stride = pixel; e < call.dims; stride *= call.size[e++]) call.input.axis_stride[e] = stride;
  call.grid = {grid.data(), call.locations * call.dims, call.dims, 1};
  call.output = {output.data(), call.channels * call.locations, 1, call.locations};
  // Nobody takes a step along a batch of one: a huge stride asks for 64-bit indices and needs no memory.
  if (wide_indices) call.input.batch_stride = int64_t(1) << 40;

  CHECK(cuda::grid_sample(call, nullptr) == 0, "a launch");
  const double tolerance = sizeof(scalar_t) == 4 ? 2e-5 : 1e-12;
  for (int64_t n = 0; n < call.batch; ++n) {
    for (int64_t c = 0; c < call.channels; ++c) {
      for (int64_t location = 0; location < call.locations; ++location) {
        const double expected = sample<scalar_t>(call, n, c, location, 0, 0, 1);
        const double got = output[(n * call.channels + c) * call.locations + location];
        CHECK(std::fabs(got - expected) <= tolerance, "dims %d, mode %d, padding %d: n %d c %d p %d is %.17g, not %.17g",
              call.dims, int(call.mode), int(call.padding[0]), int(n), int(c), int(location), got, expected);
      }
    }
  }
}

}  // namespace

int main() {
  Random random{5};
  int call_number = 0;
  for (int dims = 1; dims <= kMaxDims; ++dims) {
    for (const auto& mode : kInterpolationModes) {
      for (const auto& padding : kPaddingModes) {
        for (const auto& convention : kCoordinateConventions) {
          for (const bool wide_indices : {false, true}) {
            SampleCall call{};
            call.dims = dims;
            call.mode = mode.value;
            pad_alike(call, padding.value);
            call.coordinates = convention.value;
            set_batch(call, wide_indices ? 1 : 2);
            call.channels = 3;
            call.locations = 157;  // the last block has idle threads
            const int64_t sizes[][kMaxDims] = {{5, 4, 3}, {7, 1, 2}, {1, 6, 1}};
            for (int e = 0; e < dims; ++e) call.size[e] = sizes[call_number % 3][e];
            const bool channels_last = call_number++ % 2;
            emulation::set_seed(call_number % 4);
            call.dtype = ScalarType::kFloat;
            check_forward<float>(call, random, channels_last, wide_indices);
            call.dtype = ScalarType::kDouble;
            check_forward<double>(call, random, channels_last, wide_indices);
          }
        }
      }
    }
  }
  CHECK(cuda::error_string(9) == std::string("invalid configuration argument"), "errors are CUDA's");
  std::printf("%ld checks passed, %ld launches\n", long(checks_done), long(emulation::counters().launches));
}
