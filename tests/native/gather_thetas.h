#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "../../csrc/core/dispatch.h"
#include "checks.h"

// The thetas that gather.cpp looks for a pixel's locations through: a kind for each thing that a search may stumble at.

enum class Theta {
  kIdentity,
  kRotation,
  kZoomIn,
  kZoomOut,
  kShear,
  kGeneral,
  kSingular,
  kRankOne,
  kZero,
  kMirrored,
  kShift,
  kEighths,
  kNearlySingular,
  kHorizon,
  kSteepHorizon,
  kHorizonOnLocations,
  kNoDepth,
  kScaledAlike,
  kAnyMagnitude,
  kHuge,
  kNonFinite,
  kCount
};
inline const char* const kThetaNames[] = {"identity",      "rotation", "zoom in",       "zoom out", "shear",      "general",
                                          "singular",      "rank 1",   "zero",          "mirrored", "shift",      "eighths",
                                          "near singular", "horizon",  "steep horizon", "w of 0",   "w constant", "scaled w",
                                          "any magnitude", "huge",     "not finite"};
static_assert(std::size(kThetaNames) == std::size_t(Theta::kCount));

using Matrix = std::array<std::array<double, stn::kMaxDims + 1>, stn::kMaxDims + 1>;

inline double between(Random& random, double low, double high) { return low + (high - low) * random.uniform(); }
inline double magnitude_between(Random& random, double low, double high) {
  return std::exp(between(random, std::log(low), std::log(high))) * (random.below(2) ? 1 : -1);
}

/// Turns a matrix by any angle in some planes.
inline void rotate(Random& random, int dims, Matrix& theta) {
  for (int e = 0; e < dims; ++e) {
    for (int f = e + 1; f < dims; ++f) {
      const double angle = random.below(4) ? between(random, -4, 4) : double(random.below(8)) * std::atan(1.0);
      for (int j = 0; j < dims; ++j) {
        const double x = theta[e][j], y = theta[f][j];
        theta[e][j] = std::cos(angle) * x - std::sin(angle) * y;
        theta[f][j] = std::sin(angle) * x + std::cos(angle) * y;
      }
    }
  }
}

/// The rows of a theta on normalised coordinates, and a row of w: (0, ..., 0, 1) without one.
inline Matrix any_theta(Random& random, Theta kind, const stn::TransformArrays& transform, bool& w_row) {
  const int dims = transform.dims;
  Matrix theta{};
  for (int e = 0; e <= dims; ++e) theta[e][e] = 1;
  const auto translate = [&](double by) {
    for (int e = 0; e < dims; ++e) theta[e][dims] = random.below(3) ? between(random, -by, by) : 0;
  };
  const auto each = [&](auto value) {
    for (int e = 0; e < dims; ++e) {
      for (int j = 0; j < dims; ++j) theta[e][j] = value();
    }
  };
  const auto any = [&] { return between(random, -1.5, 1.5); };
  const auto multiply = [&](double by) {
    for (int e = 0; e < dims; ++e) {
      for (int j = 0; j < dims; ++j) theta[e][j] *= by;
    }
  };
  const auto depends = [&] {  // the last row on the others
    for (int j = 0; j < dims; ++j) {
      theta[dims - 1][j] = 0;
      for (int e = 0; e < dims - 1; ++e) theta[dims - 1][j] += double(e + 1) * 0.5 * theta[e][j];
    }
  };
  const auto of_rank_one = [&] {
    double from[stn::kMaxDims], to[stn::kMaxDims];
    for (int e = 0; e < dims; ++e) from[e] = random.below(3) ? any() : 0, to[e] = random.below(3) ? any() : 0;
    for (int e = 0; e < dims; ++e) {
      for (int j = 0; j < dims; ++j) theta[e][j] = to[e] * from[j];
    }
  };
  const auto depth = [&](double slope) {
    w_row = true;
    for (int j = 0; j < dims; ++j) theta[dims][j] = random.below(4) ? between(random, -slope, slope) : 0;
    theta[dims][dims] = random.below(4) ? between(random, -1, 2) : 1;
  };
  w_row = random.below(3) == 0;  // of (0, ..., 0, 1) then
  switch (kind) {
    case Theta::kIdentity:
      break;
    case Theta::kRotation:
      rotate(random, dims, theta), translate(0.5);
      break;
    case Theta::kZoomIn:
      if (random.below(2)) rotate(random, dims, theta);
      multiply(1 / between(random, 1, 50)), translate(1.2);
      break;
    case Theta::kZoomOut:
      if (random.below(2)) rotate(random, dims, theta);
      multiply(between(random, 1, 50)), translate(3);
      break;
    case Theta::kShear:
      theta[0][1] = between(random, -30, 30), translate(1);
      if (random.below(2)) std::swap(theta[0], theta[dims - 1]);
      break;
    case Theta::kGeneral:
      each(any), translate(1.5);
      if (random.below(2)) depth(0.4);
      break;
    case Theta::kSingular:
      each(any), depends(), translate(1);
      break;
    case Theta::kRankOne:
      of_rank_one(), translate(1.2);
      break;
    case Theta::kZero:
      each([] { return 0.0; }), translate(1.4);
      if (random.below(3) == 0) depth(1);
      break;
    case Theta::kMirrored:
      for (int e = 0; e < dims; ++e) theta[e][e] = random.below(2) ? 1 : -1;
      if (random.below(2)) std::swap(theta[0], theta[1]);
      break;
    case Theta::kShift:
      for (int e = 0; e < dims; ++e) theta[e][dims] = double(random.below(9) - 4) / transform.unit[e][dims];
      break;
    case Theta::kEighths:
      each([&] { return double(random.below(33) - 16) / 8; });
      for (int e = 0; e < dims; ++e) theta[e][dims] = double(random.below(33) - 16) / 8;
      break;
    case Theta::kNearlySingular:
      if (random.below(2))
        of_rank_one();
      else
        each(any), depends();
      {
        const double noise = std::pow(10, between(random, -17, -2));
        for (int e = 0; e < dims; ++e) {
          for (int j = 0; j < dims; ++j) theta[e][j] += noise * any();
        }
      }
      translate(1);
      break;
    case Theta::kHorizon:
      each(any), translate(1), depth(1.5);
      break;
    case Theta::kSteepHorizon:
      if (random.below(2)) each(any);
      translate(1), depth(200);
      break;
    case Theta::kHorizonOnLocations:  // w is 0 or nearly 0 exactly where locations are
      each([&] { return double(random.below(9) - 4) / 4; }), depth(1);
      for (int j = 0; j < dims; ++j) {
        theta[dims][j] = double(random.below(3) - 1) / (transform.unit[dims][j] > 0 ? transform.unit[dims][j] : 1);
      }
      theta[dims][dims] = double(random.below(5) - 2) / 2;
      if (random.below(2)) theta[dims][dims] += magnitude_between(random, 1e-12, 1e-5);
      if (random.below(3) == 0) {  // a numerator that is small with it
        for (int j = 0; j <= dims; ++j) theta[0][j] = theta[dims][j] * between(random, -1, 1);
      }
      break;
    case Theta::kNoDepth:
      each(any), translate(1), depth(0);
      if (random.below(3) == 0) theta[dims][dims] = magnitude_between(random, 1e-12, 1e12);
      break;
    case Theta::kScaledAlike: {
      each(any), translate(1), depth(0.8);
      const double by = magnitude_between(random, 1e-9, 1e25);
      for (auto& row : theta) {
        for (double& entry : row) entry *= by;
      }
      break;
    }
    case Theta::kAnyMagnitude:
    case Theta::kHuge: {
      const double largest = kind == Theta::kHuge ? 3.4e38 : 1e12, least = kind == Theta::kHuge ? 1e3 : 1e-20;
      each([&] { return random.below(3) ? magnitude_between(random, least, largest) : any(); }), translate(1);
      if (random.below(2)) depth(1);
      if (random.below(2)) {  // of one magnitude, and a translation that takes a location to the middle of the image again
        each([&, size = magnitude_between(random, least, largest)] { return size * double(random.below(5) - 2) / 2; });
        if (w_row) theta[dims] = {}, theta[dims][dims] = 1;
        for (int e = 0; e < dims; ++e) {
          theta[e][dims] = 0;
          for (int j = 0; j < dims; ++j) {
            const double at = double(2 * random.below(transform.size[j]) - transform.size[j] + 1) / 2;
            if (transform.unit[e][dims] > 0)
              theta[e][dims] -= theta[e][j] * transform.unit[e][j] / transform.unit[e][dims] * at;
          }
        }
      }
      break;
    }
    case Theta::kNonFinite:
      each(any), translate(1);
      if (random.below(2)) depth(1);
      for (int64_t k = 1 + random.below(2); k > 0; --k) {
        const double none[] = {NAN, INFINITY, -INFINITY};
        theta[random.below(dims + 1)][random.below(dims + 1)] = none[random.below(3)];
      }
      break;
    case Theta::kCount:
      break;
  }
  return theta;
}
