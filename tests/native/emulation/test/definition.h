#pragma once
#include <cmath>
#include <vector>

#include "../../../../csrc/core/call.h"

// The definition of sampling, written anew in float64 and sharing nothing with csrc but the plain data of a call: what the
// kernels' results are compared with. Coordinates have to keep away from kinks, or be so far out that the rule for non-finite
// ones holds.

namespace definition {

/// A pixel on one axis; index -1 is outside, where zeros or the fill value are read. weight[d] is the d-th derivative by the
/// coordinate.
struct Tap {
  int64_t index;
  double weight[3];
};

/// Keys 1981, a = -0.75: the kernel's d-th derivative by x, at x - tap = distance.
inline double cubic(double distance, int d) {
  const double a = -0.75, r = std::fabs(distance), sign = distance < 0 ? -1 : 1;
  if (r > 2) return 0;
  if (d == 2) return r <= 1 ? 6 * (a + 2) * r - 2 * (a + 3) : 6 * a * r - 10 * a;
  if (d == 1) return sign * (r <= 1 ? 3 * (a + 2) * r * r - 2 * (a + 3) * r : 3 * a * r * r - 10 * a * r + 8 * a);
  return r <= 1 ? (a + 2) * r * r * r - (a + 3) * r * r + 1 : a * r * r * r - 5 * a * r * r + 8 * a * r - 4 * a;
}

inline bool are_centres(stn::CoordinateConvention convention) {
  return convention == stn::CoordinateConvention::kCentres || convention == stn::CoordinateConvention::kCentrePixels;
}
inline bool are_pixels(stn::CoordinateConvention convention) {
  return convention == stn::CoordinateConvention::kPixels || convention == stn::CoordinateConvention::kCentrePixels;
}

/// Where padding moves a position in pixels to; `slope` is multiplied by the derivative of that.
inline double pad(double x, int64_t size, stn::PaddingMode padding, stn::CoordinateConvention convention, double& slope) {
  const double last = double(size - 1);
  if (padding == stn::PaddingMode::kZeros) return x;
  if (padding == stn::PaddingMode::kCircular) return x - double(size) * std::floor(x / double(size));
  if (padding == stn::PaddingMode::kReflection) {
    const bool centres = are_centres(convention);
    const double low = centres ? 0 : -0.5, high = centres ? last : last + 0.5;
    if (low == high) return slope = 0;
    for (; x < low || x > high; slope = -slope) x = x < low ? 2 * low - x : 2 * high - x;
  }
  if (x <= 0 || x >= last) slope = 0;  // clamped: border, and reflection's half pixel
  return std::fmin(std::fmax(x, 0), last);
}

/// The taps of one axis.
inline std::vector<Tap> taps(double coordinate, int axis, const stn::SampleCall& call) {
  const int64_t size = call.size[axis];
  const stn::PaddingMode padding = call.padding[axis];
  const bool centres = are_centres(call.coordinates);
  double slope = double(centres ? size - 1 : size) / 2, unused = 1;
  double x = centres ? (coordinate + 1) / 2 * double(size - 1) : ((coordinate + 1) * double(size) - 1) / 2;
  if (are_pixels(call.coordinates)) x = coordinate, slope = 1;
  if (centres && size == 1) x = slope = 0;
  const bool centre_inside = x >= -0.5 && x < double(size) - 0.5;
  if (call.fill.data && padding == stn::PaddingMode::kBorder && !centre_inside) return {{-1, {1, 0, 0}}};
  if (!(std::fabs(x) < 2147483648.0)) {  // NaN, infinite or beyond int range
    if (padding == stn::PaddingMode::kZeros) return {{-1, {1, 0, 0}}};
    x = x > 0 ? double(size - 1) : 0;
    slope = 0;
  }
  std::vector<Tap> result;
  const auto add = [&](double position, double weight, double first, double second) {
    if (padding == stn::PaddingMode::kCircular && position >= double(size)) position -= double(size);
    const bool inside = position >= 0 && position <= double(size - 1);
    result.push_back({inside ? int64_t(position) : -1, {weight, first * slope, second * slope * slope}});
  };
  if (call.mode == stn::InterpolationMode::kBicubic) {
    for (int k = -1; k <= 2; ++k) {
      const double position = std::floor(x) + k, distance = x - position;
      add(pad(position, size, padding, call.coordinates, unused), cubic(distance, 0), cubic(distance, 1), cubic(distance, 2));
    }
    return result;
  }
  x = pad(x, size, padding, call.coordinates, slope);
  const double low = std::floor(x);
  if (call.mode == stn::InterpolationMode::kNearest) {
    add(std::nearbyint(x), 1, 0, 0);
  } else {
    add(low, low + 1 - x, -1, 0);
    add(low + 1, x - low, 1, 0);
  }
  return result;
}

/// An element of the image that a location reads; or, where `outside`, the fill value.
struct Pixel {
  bool outside;
  int64_t index[stn::kMaxDims];
  double weight, first[stn::kMaxDims], second[stn::kMaxDims][stn::kMaxDims];
};

/// f(pixel) for the tensor product of the axes' taps. Those outside are left out where there is no fill value.
template <typename F>
void for_each_pixel(const double (&coordinate)[stn::kMaxDims], const stn::SampleCall& call, F&& f) {
  static const std::vector<Tap> kNoAxis{{0, {1, 0, 0}}};
  std::vector<Tap> axis[stn::kMaxDims];
  for (int e = 0; e < stn::kMaxDims; ++e) axis[e] = e < call.dims ? taps(coordinate[e], e, call) : kNoAxis;
  for (const Tap& z : axis[2]) {
    for (const Tap& y : axis[1]) {
      for (const Tap& x : axis[0]) {
        const Tap* tap[] = {&x, &y, &z};
        const bool outside = x.index < 0 || y.index < 0 || z.index < 0;
        if (outside && !call.fill.data) continue;
        const auto product = [&](int e, int g) {  // differentiated along these axes (-1: along none)
          double result = 1;
          for (int a = 0; a < stn::kMaxDims; ++a) result *= tap[a]->weight[(a == e) + (a == g)];
          return result;
        };
        Pixel pixel{outside, {x.index, y.index, z.index}, product(-1, -1), {}, {}};
        for (int e = 0; e < call.dims; ++e) {
          pixel.first[e] = product(e, -1);
          for (int g = 0; g < call.dims; ++g) pixel.second[e][g] = product(e, g);
        }
        f(pixel);
      }
    }
  }
}

/// Where location i of `size` lies itself, in normalised coordinates.
inline double base_coordinate(int64_t i, int64_t size, bool align_corners) {
  if (align_corners) return size > 1 ? -1 + 2 * double(i) / double(size - 1) : 0;
  return -1 + (2 * double(i) + 1) / double(size);
}

}  // namespace definition
