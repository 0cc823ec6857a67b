// NOTE [ Gather ] of csrc/core/gather.h, by g++ alone under ASan and UBSan: for every pixel the search finds the locations that
// read it, with the weights that the forward has for them: none is missing and none is found twice. What they are is found here
// by looking at all of them.
//
//   gather [rounds of each kind of theta]
#include "../../csrc/core/gather.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "checks.h"
#include "gather_thetas.h"
#include "transform_arrays.h"

using namespace stn;

namespace {

int rounds = 100;  // of each kind of theta, for each type, number of axes and mode

struct Surplus {
  double candidates = 0, found = 0, worst = 0;  // worst: of one pixel, for each that it has, or for one
};
Surplus surplus_of[std::size(kThetaNames)];

template <int kDims>
using Pixel = std::array<int64_t, kDims>;
template <typename scalar_t>
using Readers = std::vector<std::pair<int64_t, scalar_t>>;  // location, weight

/// All locations, by the pixels that they read.
template <InterpolationMode kMode, typename params_t>
auto readers_of_pixels(const params_t& params, int64_t n, int64_t locations) {
  constexpr int kDims = params_t::kDims;
  using scalar_t = typename params_t::scalar_t;
  std::map<Pixel<kDims>, Readers<scalar_t>> result;
  for (int64_t location = 0; location < locations; ++location) {
    scalar_t coordinate[kDims];
    params.source.coordinate(int32_t(n), int32_t(location), coordinate);
    const Stencil<kDims, kMode, RuntimePadding, 0, scalar_t, int32_t> stencil(coordinate, params.axes);
    std::map<int64_t, scalar_t> on_axis[kDims];  // several taps may be one pixel
    for (int e = 0; e < kDims; ++e) {
      for (int k = 0; k < stencil.kAxisTaps; ++k) {
        if (stencil.axis[e].inside[k]) on_axis[e][stencil.axis[e].index[k]] += stencil.axis[e].weight[0][k];
      }
    }
    const auto product = [&](const auto& self, int e, Pixel<kDims>& pixel, scalar_t weight) -> void {
      if (e == kDims) {
        if (weight != scalar_t(0)) result[pixel].push_back({location, weight});
        return;
      }
      for (const auto& [index, share] : on_axis[e]) pixel[e] = index, self(self, e + 1, pixel, weight * share);
    };
    Pixel<kDims> pixel;
    product(product, 0, pixel, scalar_t(1));
  }
  return result;
}

/// A call with this theta and image: every pixel, or of a large image those that are read and some more.
template <InterpolationMode kMode, typename params_t>
void check_pixels(Random& random, const SampleCall& call, Surplus& surplus) {
  constexpr int kDims = params_t::kDims;
  using scalar_t = typename params_t::scalar_t;
  const params_t params(call);
  const int64_t n = random.below(call.grid_batch), locations = call.transform.locations();
  const auto readers = readers_of_pixels<kMode>(params, n, locations);
  int64_t all = 1;
  for (int e = 0; e < kDims; ++e) all *= call.size[e];
  std::vector<Pixel<kDims>> pixels;
  const bool every = all <= 4000 && locations <= 4000;
  for (int64_t k = 0; k < (every ? all : 24); ++k) {
    Pixel<kDims> pixel;
    int64_t rest = k;
    for (int e = 0; e < kDims; rest /= call.size[e++]) {
      pixel[e] = every ? rest % call.size[e] : std::max<int64_t>(0, call.size[e] - 1 - random.below(6));
    }
    pixels.push_back(pixel);
  }
  if (!every) {
    for (const auto& [pixel, unused] : readers) {
      if (pixels.size() < 40 || random.below(int64_t(readers.size())) < 20) pixels.push_back(pixel);
    }
  }
  for (const Pixel<kDims>& pixel : pixels) {
    Gather<kMode, params_t> gather{params, {}};
    for (int e = 0; e < kDims; ++e) gather.pixel[e] = int32_t(pixel[e]);
    const auto entry = readers.find(pixel);
    const Readers<scalar_t> none, &expected = entry == readers.end() ? none : entry->second;
    for (const int32_t lanes : {1, 8}) {
      Readers<scalar_t> got;
      for (int32_t lane = 0; lane < lanes; ++lane) {
        gather.visit(int32_t(n), lane, lanes, [&](int32_t location, scalar_t weight) { got.push_back({location, weight}); });
      }
      std::sort(got.begin(), got.end());
      CHECK(got.size() == expected.size(), "pixel (%ld, %ld) has %zu locations, %zu are found by %d lanes", long(pixel[0]),
            long(pixel[1]), expected.size(), got.size(), lanes);
      for (std::size_t i = 0; i < got.size() && got != expected; ++i) {
        CHECK(got[i] == expected[i], "pixel (%ld, %ld): location %ld with %.9g, not %ld with %.9g", long(pixel[0]),
              long(pixel[1]), long(got[i].first), double(got[i].second), long(expected[i].first), double(expected[i].second));
      }
    }
    const double candidates = double(gather.candidates(int32_t(n))), found = double(expected.size());
    surplus.candidates += candidates, surplus.found += found;
    surplus.worst = std::max(surplus.worst, candidates / std::max(found, 1.0));
  }
}

/// `out`, `in`: the sizes.
template <typename scalar_t, int kDims, InterpolationMode kMode>
void check_theta(Random& random, Theta kind, const int64_t (&out)[kMaxDims], const int64_t (&in)[kMaxDims]) {
  using params_t = SampleGeometry<kDims, scalar_t, int32_t, TransformSource<kDims, scalar_t, int32_t>>;
  SampleCall call{};
  call.dims = kDims, call.mode = kMode;
  const bool centres = random.below(2);
  call.coordinates = centres ? CoordinateConvention::kCentrePixels : CoordinateConvention::kPixels;
  for (int e = 0; e < kDims; ++e) {
    call.size[e] = in[e];
    call.padding[e] = random.below(2) ? PaddingMode::kZeros : PaddingMode::kBorder;
  }
  if (random.below(4) == 0) call.fill.data = &call;  // not read
  call.batch = call.grid_batch = 2;
  call.transform = transform_arrays(TransformKind::kAffine, kDims, out, in, true, centres);
  std::vector<scalar_t> entries;
  bool w_row = false;
  for (int n = 0; n < 2; ++n) {
    bool wants_w = false;
    const Matrix theta = any_theta(random, kind, call.transform, wants_w);
    if (n == 0 && wants_w) w_row = true;
    for (int e = 0; e < kDims + w_row; ++e) {
      for (int j = 0; j <= kDims; ++j) {
        const bool fits =
            !(std::fabs(theta[e][j]) > double(std::numeric_limits<scalar_t>::max())) || !std::isfinite(theta[e][j]);
        entries.push_back(fits ? scalar_t(theta[e][j]) : std::numeric_limits<scalar_t>::max());
      }
    }
  }
  if (w_row) call.transform.kind = TransformKind::kProjective;
  call.transform.theta = entries.data();
  call.transform.theta_stride[0] = (kDims + w_row) * (kDims + 1);
  call.transform.theta_stride[1] = kDims + 1, call.transform.theta_stride[2] = 1;
  check_pixels<kMode, params_t>(random, call, surplus_of[int(kind)]);
}

template <typename scalar_t, int kDims, InterpolationMode kMode>
void check_mode(Random& random) {
  for (int kind = 0; kind < int(Theta::kCount); ++kind) {
    for (int round = 0; round < rounds; ++round) {
      int64_t out[kMaxDims] = {1, 1, 1}, in[kMaxDims] = {1, 1, 1};
      for (int e = 0; e < kDims; ++e) {
        out[e] = random.below(8) == 0 ? 1 : 1 + random.below(kDims == 2 ? 12 : 6);
        in[e] = random.below(8) == 0 ? 1 : random.below(6) == 0 ? out[e] : 1 + random.below(kDims == 2 ? 10 : 5);
      }
      std::snprintf(check_context, sizeof check_context, "%s, round %d of %d-D mode %d, %zu bytes: ", kThetaNames[kind], round,
                    kDims, int(kMode), sizeof(scalar_t));
      check_theta<scalar_t, kDims, kMode>(random, Theta(kind), out, in);
    }
    // Axes so long that a float has few digits for a position, or none for a pixel.
    for (int round = 0; round < 2 && (kind + kDims + int(kMode)) % 4 == 0; ++round) {
      int64_t out[kMaxDims] = {3, 1, 1}, in[kMaxDims] = {4, 1, 1};
      if (round == 0) out[random.below(kDims)] = 10000 + random.below(20000);
      std::snprintf(check_context, sizeof check_context, "%s, %s, %d-D mode %d, %zu bytes: ", kThetaNames[kind],
                    round ? "a long image" : "a long output", kDims, int(kMode), sizeof(scalar_t));
      // bicubic's limit, see NOTE [ Gather ]: float's next pixel
      if (round == 1 && sizeof(scalar_t) == 4 && Interpolation<kMode>::kTaps > 2) continue;
      if (round == 1) in[random.below(kDims)] = 16777212 + random.below(16), out[0] = out[1] = 5;
      check_theta<scalar_t, kDims, kMode>(random, Theta(kind), out, in);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) rounds = std::atoi(arguments[1]);
  Random random{20150605};
  const auto all = [&](auto mode) {
    constexpr InterpolationMode kMode = decltype(mode)::value;
    check_mode<float, 2, kMode>(random), check_mode<double, 2, kMode>(random);
    check_mode<float, 3, kMode>(random), check_mode<double, 3, kMode>(random);
  };
  for (const auto& mode : kInterpolationModes) dispatch<kInterpolationModes>(mode.value, all);
  for (std::size_t kind = 0; kind < std::size(kThetaNames); ++kind) {
    const Surplus& surplus = surplus_of[kind];
    std::printf("%s: %.0f locations read pixels, %.1f candidates for each of them, at most %.0f for each of one pixel's\n",
                kThetaNames[kind], surplus.found, surplus.candidates / std::max(surplus.found, 1.0), surplus.worst);
  }
  std::printf("%ld checks passed\n", long(checks_done));
}
