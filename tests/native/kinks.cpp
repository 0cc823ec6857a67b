// The taps of one axis exactly on kinks, where a comparison that is off by equality shows and tests with noise never come:
// whole pixels, halves, the edges and the mirrors, against tests/native/emulation/test/definition.h.
#include <array>
#include <cmath>
#include <map>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/core/stencil.h"
#include "checks.h"
#include "emulation/test/definition.h"

using namespace stn;

namespace {

/// What each pixel weighs: several taps may read one.
using Weights = std::map<int64_t, std::array<double, 3>>;

template <typename scalar_t, InterpolationMode kMode, typename Pad>
void check_axis(PaddingMode padding, CoordinateConvention convention, int64_t size) {
  const bool centres = convention == CoordinateConvention::kCentres;
  const auto axis = Axis<scalar_t>::make(size, convention, padding);
  SampleCall call{};
  call.dims = 1, call.size[0] = size;
  call.mode = kMode, call.coordinates = convention;
  pad_alike(call, padding);
  for (int64_t quarter = -12 * size; quarter <= 16 * size; ++quarter) {
    const double pixel = double(quarter) / 4;  // exact, and so is the coordinate on these sizes
    const double coordinate = axis.origin == 0 ? pixel
                              : !centres       ? (2 * pixel + 1) / double(size) - 1
                              : size > 1       ? 2 * pixel / double(size - 1) - 1
                                               : pixel;
    const bool whole = quarter % 4 == 0 || !axis.has_extent;
    Weights expected, got;
    for (const definition::Tap& tap : definition::taps(coordinate, 0, call)) {
      for (int d = 0; d < 3 && tap.index >= 0; ++d) expected[tap.index][d] += tap.weight[d];
    }
    const auto taps = axis_taps<kMode, Pad, 2, int32_t>(scalar_t(coordinate), axis);
    for (int k = 0; k < Interpolation<kMode>::kTaps; ++k) {
      for (int d = 0; d < 3 && taps.inside[k]; ++d) got[taps.index[k]][d] += double(taps.weight[d][k]);
    }
    for (int64_t index = 0; index < size; ++index) {
      for (int d = 0; d < 3; ++d) {
        if (d == 2 && whole && kMode == InterpolationMode::kBicubic) continue;  // Keys' kernel has two second derivatives there
        CHECK(std::fabs(got[index][d] - expected[index][d]) <= 1e-5 * double(size * size),
              "mode %d, padding %d, centres %d, size %d: derivative %d of pixel %d at %g is %g, not %g", int(kMode),
              int(padding), int(centres), int(size), d, int(index), pixel, got[index][d], expected[index][d]);
      }
    }
  }
}

/// Border's last position is a pixel, and the last one that the type can name.
template <typename scalar_t>
void check_last(int64_t size) {
  const scalar_t last = Axis<scalar_t>::make(size, CoordinateConvention::kEdges, PaddingMode::kBorder).last;
  CHECK(int64_t(last) < size && int64_t(std::nextafter(last, scalar_t(INFINITY))) >= size - 1, "size %ld: %.17g", long(size),
        double(last));
}

}  // namespace

int main() {
  for (const int64_t size : {1 << 23, (1 << 24) + 2, (1 << 24) + 3, (1 << 24) + 4, (1 << 24) + 5, 1073741000, INT32_MAX}) {
    check_last<float>(size);
    CHECK(Axis<double>::make(size, CoordinateConvention::kEdges, PaddingMode::kBorder).last == double(size - 1), "size %ld",
          long(size));
  }
  for_each_case([](auto dims, auto mode, auto pad, PaddingMode padding) {
    if (decltype(dims)::value != 1) return;
    for (const auto& convention : kCoordinateConventions) {
      for (const int64_t power : {1, 2, 4, 8}) {
        const int64_t size = convention.value == CoordinateConvention::kCentres ? power + 1 : power;
        check_axis<float, decltype(mode)::value, decltype(pad)>(padding, convention.value, size);
        check_axis<double, decltype(mode)::value, decltype(pad)>(padding, convention.value, size);
      }
      check_axis<double, decltype(mode)::value, decltype(pad)>(padding, convention.value, 1);
    }
  });
  std::printf("%ld checks passed\n", long(checks_done));
}
