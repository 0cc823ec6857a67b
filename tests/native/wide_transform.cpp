// The CPU's tiles of transforms (csrc/cpu/transform.inl) against core one location at a time: coordinates on vectors bit for
// bit, gradients of parameters but for the order of sums. Compiled as wide_core.cpp is.
#include <cmath>
#include <vector>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/transform.inl"
#include "checks.h"
#include "transform_arrays.h"

using namespace stn;

namespace {

/// A transform's call without an image, its parameters in any numbers, and all that it gives back.
template <typename scalar_t>
struct Arrays {
  SampleCall call{};
  std::vector<scalar_t> parameters, tangent, grad_flow;
  std::vector<double> partial;

  Arrays(Random& random, int dims) {
    call.dims = dims;
    call.coordinates = random.below(2) ? CoordinateConvention::kPixels : CoordinateConvention::kCentrePixels;
    int64_t out[kMaxDims] = {1, 1, 1};
    for (int e = 0; e < dims; ++e) {
      call.size[e] = 1 + random.below(20);
      out[e] = random.below(4) == 0 ? 1 : 1 + random.below(e == 0 ? 300 : 9);
    }
    const TransformKind kind = kTransformKinds[random.below(std::size(kTransformKinds))].value;
    const bool centres = call.coordinates == CoordinateConvention::kCentrePixels;
    TransformArrays& transform = call.transform = transform_arrays(kind, dims, out, call.size, true, centres);
    set_batch(call, 2);
    const int64_t locations = call.locations = transform.locations();
    const bool is_flow = kind == TransformKind::kFlow, wild = random.below(4) == 0;
    const int64_t entries = is_flow ? dims * locations : transform.rows() * (dims + 1);
    for (auto* each : {&parameters, &tangent}) {
      for (int64_t k = 0; k < 2 * entries; ++k) {
        each->push_back(wild ? any_coordinate<scalar_t>(random) : scalar_t(random.uniform() * 2 - 1));
      }
    }
    if (is_flow) {
      grad_flow.assign(2 * entries, scalar_t(NAN));
      transform.flow = {parameters.data(), entries, 1, locations, false};
      transform.grad_flow = {grad_flow.data(), entries, 1, locations, false};
    } else {
      transform.theta = parameters.data(), transform.tangent_theta = tangent.data();
      for (auto* stride : {&transform.theta_stride, &transform.tangent_stride}) {
        (*stride)[0] = entries, (*stride)[1] = dims + 1, (*stride)[2] = 1;
      }
      partial.assign(cpu::LocationUnits(locations, 2).count * (dims + 1) * (dims + 1), NAN);
      transform.partial = partial.data();
      transform.grad_theta = partial.data();  // wanted, and not written here
    }
  }
};

/// The same bits, or both no number.
template <typename value_t>
bool same(value_t a, value_t b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

template <typename scalar_t, int kDims>
void check_transform(Random& random) {
  using Typed = Transform<kDims, scalar_t, int64_t>;
  const Arrays<scalar_t> arrays(random, kDims);
  const SampleCall& call = arrays.call;
  const AnySource<kDims, scalar_t, int64_t> source(call);
  const Typed& transform = source.own.transform;
  const cpu::LocationUnits units(call.locations, 2);
  for (int64_t unit = 0; unit < units.count; ++unit) {
    const auto [n, location, count] = units.at(unit);
    cpu::TileOf<kDims, scalar_t> wide;
    cpu::tile_coordinates(source, n, location, count, wide);
    static cpu::TileOf<kDims, scalar_t> gradient;
    for (int i = 0; i < count; ++i) {
      scalar_t one[kDims];
      source.own.coordinate(n, location + i, one);
      for (int e = 0; e < kDims; ++e) {
        CHECK(same(wide[e][i], one[e]), "location %ld, axis %d: %.9g, not %.9g", long(location + i), e, double(wide[e][i]),
              double(one[e]));
        gradient[e][i] = scalar_t(random.uniform() * 2 - 1);
      }
    }
    for (const bool second : {false, true}) {
      if (!transform.is_flow() && second) {
        cpu::sum_theta_gradient(transform, unit, n, location, count, gradient, true);
      } else {
        cpu::take_gradients(source, unit, n, location, count, gradient);
      }
      double sum[Typed::kEntries] = {}, magnitude[Typed::kEntries] = {};
      for (int i = 0; i < count; ++i) {
        scalar_t position[kDims], rows[kDims + 1], each[kDims];
        for (int e = 0; e < kDims; ++e) each[e] = gradient[e][i];
        transform.position_of(location + i, position);
        for (int e = 0; e < kDims && transform.is_flow(); ++e) {
          const scalar_t stored = arrays.grad_flow[(n * kDims + e) * call.locations + location + i];
          CHECK(same(stored, each[e]), "grad_flow at %ld", long(location + i));
        }
        if (transform.is_flow()) continue;
        if (second) transform.map_of(n).second_row_gradients(transform.tangent_of(n), position, each, rows);
        if (!second) transform.map_of(n).row_gradients(position, each, rows);
        double one[Typed::kEntries] = {};
        transform.add_theta_gradient(rows, position, one);
        for (int k = 0; k < Typed::kEntries; ++k) sum[k] += one[k], magnitude[k] += std::abs(one[k]);
      }
      for (int k = 0; k < Typed::kEntries && !transform.is_flow(); ++k) {
        const double got = arrays.partial[unit * Typed::kEntries + k];
        // Sums of the same numbers in another order, in double: each addition rounds by an ulp's half of what is summed.
        CHECK(same(got, sum[k]) || std::abs(got - sum[k]) <= cpu::kTile * 2.3e-16 * magnitude[k],
              "entry %d of unit %ld: %g, not %g", k, long(unit), got, sum[k]);
      }
    }
  }
}

}  // namespace

int main() {
  Random random{3};
  for (int round = 0; round < 100; ++round) {
    check_transform<float, 2>(random), check_transform<float, 3>(random);
    check_transform<double, 2>(random), check_transform<double, 3>(random);
  }
  std::printf("%ld checks passed\n", long(checks_done));
}
