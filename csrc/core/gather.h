#pragma once
#include <cmath>

#include "sample.h"

namespace stn {

/// NOTE [ Gather ]
/// grad_input of a theta's call, by who owns a pixel and not by who adds to it: the pixel's owner looks for the locations that
/// read it. They are those whose coordinate is within the interpolation's radius of the pixel on every axis, which the map of
/// theta makes linear inequalities of a location's position:
///
///   low <= row(e) / w + centre <= high
///
/// which is, where w > 0,
///
///   row(e) - (low - centre) w >= 0     and     (high - centre) w - row(e) >= 0
///
/// and the same with both signs turned where w < 0. The inequalities are loosened by their rounding, and prune only: whether
/// and how much a location reads the pixel is what its own stencil says, by the forward's arithmetic. So a search may find too
/// many locations but not too few, and never the same one twice.
///
/// One limit: bicubic counts its taps in floats, and on an axis of more than 2^24 pixels a float32 has no next one. There a
/// location that border padding clamps to the last pixel reads one beside it as well, which isn't looked for.
///
/// It is for paddings that move a coordinate to one place at most: zeros and border, whose end pixels have no bound outwards.
/// Reflection and circular padding have as many images of a pixel as theta likes, without a bound that the host knows: the sort
/// serves them (sorted_kernels.cuh).

/// a . position + b >= 0
template <int kDims, typename scalar_t>
struct HalfSpace {
  scalar_t a[kDims], b;
};

/// An interval of indices, both ends included.
template <typename index_t>
struct Interval {
  index_t first, last;
  STN_HOST_DEVICE index_t length() const { return last < first ? 0 : last - first + 1; }
};

/// The locations that may read one pixel, where w has one sign.
template <int kDims, typename scalar_t, typename index_t>
struct Search {
  static constexpr int kHalfSpaces = 2 * kDims + 1;  // a bound below and one above on each axis, and the sign of w

  HalfSpace<kDims, scalar_t> half_space[kHalfSpaces];
  scalar_t half[kDims];  // positions on axis j are -half[j], ..., half[j]
  bool empty;

  /// The locations of axis `kAxis`' inner axes at fixed indices of the outer ones, or a superset.
  template <int kAxis>
  STN_HOST_DEVICE Interval<index_t> on_axis(const scalar_t (&outer)[kDims]) const {
    scalar_t low = -half[kAxis], high = half[kAxis];
    STN_UNROLL
    for (int i = 0; i < kHalfSpaces; ++i) {
      scalar_t rest = half_space[i].b;
      STN_UNROLL
      for (int j = 0; j < kDims; ++j) {
        if (j > kAxis) rest += half_space[i].a[j] * outer[j];
        if (j < kAxis && !(kAxis == 1 && j == 0)) rest += magnitude(half_space[i].a[j]) * half[j];
      }
      if constexpr (kAxis == 1) {
        eliminate(i, rest, outer, low, high);
      } else {
        bound(half_space[i].a[kAxis], rest, low, high);
      }
    }
    const scalar_t first = half[kAxis] - scalar_t(0.01);  // of the rounding of a quotient, which is a position
    const scalar_t last = half[kAxis] + scalar_t(0.01);
    if (empty || !(low <= high + scalar_t(0.02))) return {0, -1};
    return {to_index<index_t>(ceil_of(low + first)), to_index<index_t>(Numeric<scalar_t>::floor(high + last))};
  }

  STN_HOST_DEVICE scalar_t position(int e, index_t i) const { return static_cast<scalar_t>(i) - half[e]; }

 private:
  static STN_HOST_DEVICE scalar_t magnitude(scalar_t x) { return x < scalar_t(0) ? -x : x; }
  static STN_HOST_DEVICE scalar_t ceil_of(scalar_t x) { return -Numeric<scalar_t>::floor(-x); }

  /// a x + rest >= 0 tightens [low, high]; what has overflowed doesn't.
  static STN_HOST_DEVICE void bound(scalar_t a, scalar_t rest, scalar_t& low, scalar_t& high) {
    if (!(magnitude(a) + magnitude(rest) < scalar_t(INFINITY))) return;
    const scalar_t at = -rest / a;
    if (a > scalar_t(0) && at > low) low = at < high ? at : high + scalar_t(1);
    if (a < scalar_t(0) && at < high) high = at > low ? at : low - scalar_t(1);
    if (a == scalar_t(0) && rest < scalar_t(0)) high = low - scalar_t(1);
  }

  /// Tightens the interval of axis 1 by half space i, after axis 0 was eliminated from it: by its own range, and by every other
  /// half space that bounds it from the other side (Fourier and Motzkin).
  STN_HOST_DEVICE void eliminate(int i, scalar_t rest, const scalar_t (&outer)[kDims], scalar_t& low, scalar_t& high) const {
    const scalar_t a = half_space[i].a[0];
    bound(half_space[i].a[1], rest + magnitude(a) * half[0], low, high);
    STN_UNROLL
    for (int k = 0; k < kHalfSpaces; ++k) {
      const HalfSpace<kDims, scalar_t>& other = half_space[k];
      if (k <= i || !(a * other.a[0] < scalar_t(0))) continue;
      scalar_t other_rest = other.b;
      STN_UNROLL
      for (int j = 2; j < kDims; ++j) other_rest += other.a[j] * outer[j];
      const scalar_t one = magnitude(other.a[0]), two = magnitude(a);
      bound(one * half_space[i].a[1] + two * other.a[1], one * rest + two * other_rest, low, high);
    }
  }
};

/// What is looked for: the locations of images that read a pixel.
template <InterpolationMode kMode, typename params_t>
struct Gather {
  static constexpr int kDims = params_t::kDims;
  using scalar_t = typename params_t::scalar_t;
  using index_t = typename params_t::index_t;
  using Map = ThetaMap<kDims, scalar_t>;
  using Found = Search<kDims, scalar_t, index_t>;

  const params_t& params;
  index_t pixel[kDims];

  /// f(location, weight) for the locations of image n that read the pixel: for every `lanes`-th of the candidates, from `lane`
  /// on.
  template <typename F>
  STN_HOST_DEVICE void visit(index_t n, index_t lane, index_t lanes, F&& f) const {
    const Map map = params.source.transform.map_of(n);
    const int sides = map.w_row ? 2 : 1;
    STN_ROLL
    for (int side = 0; side < sides; ++side) visit_side(map, scalar_t(1 - 2 * side), lane, lanes, f);
  }

  /// About how many candidates image n has.
  STN_HOST_DEVICE scalar_t candidates(index_t n) const {
    const Map map = params.source.transform.map_of(n);
    const int sides = map.w_row ? 2 : 1;
    scalar_t count = 0;
    STN_ROLL
    for (int side = 0; side < sides; ++side) {
      const Found found = search(map, scalar_t(1 - 2 * side));
      scalar_t outer[kDims] = {}, product = 1;
      if constexpr (kDims == 3) product = middle<2>(found, outer);
      product *= middle<1>(found, outer);
      count += product * static_cast<scalar_t>(found.template on_axis<0>(outer).length());
    }
    return count;
  }

 private:
  template <typename F>
  STN_HOST_DEVICE void visit_side(const Map& map, scalar_t sign, index_t lane, index_t lanes, F&& f) const {
    const auto& size = params.source.transform.size;
    const Found found = search(map, sign);
    scalar_t at[kDims] = {};
    Interval<index_t> planes{0, 0};
    if constexpr (kDims == 3) planes = found.template on_axis<2>(at);
    for (index_t z = planes.first; z <= planes.last; ++z) {
      if constexpr (kDims == 3) at[2] = found.position(2, z);
      const Interval<index_t> rows = found.template on_axis<1>(at);
      const bool shares_rows = rows.length() >= lanes;  // or else what is in a row
      const index_t y_step = shares_rows ? lanes : 1, x_step = shares_rows ? 1 : lanes;
      for (index_t y = rows.first + (shares_rows ? lane : 0); y <= rows.last; y += y_step) {
        at[1] = found.position(1, y);
        const Interval<index_t> columns = found.template on_axis<0>(at);
        for (index_t x = columns.first + (shares_rows ? 0 : lane); x <= columns.last; x += x_step) {
          at[0] = found.position(0, x);
          if (!is_on_side(map, sign, at)) continue;
          const scalar_t weighs = weight(map, at);
          if (weighs != scalar_t(0)) f((z * size[1] + y) * size[0] + x, weighs);
        }
      }
    }
  }

  /// The length of an axis' interval, whose middle is where the inner axes are looked at.
  template <int kAxis>
  static STN_HOST_DEVICE scalar_t middle(const Found& found, scalar_t (&outer)[kDims]) {
    const Interval<index_t> interval = found.template on_axis<kAxis>(outer);
    outer[kAxis] = found.position(kAxis, (interval.first + interval.last) / 2);
    return static_cast<scalar_t>(interval.length());
  }

  /// `sign`: of w.
  STN_HOST_DEVICE Found search(const Map& map, scalar_t sign) const {
    Found found;
    found.empty = false;
    STN_UNROLL
    for (int j = 0; j < kDims; ++j) found.half[j] = -params.source.transform.position_on(j, 0);
    const scalar_t w_size = size_of(map, kDims, found.half);
    const bool everywhere = reads_without_a_coordinate(map, w_size);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      const Axis<scalar_t>& axis = params.axes[e];
      const scalar_t size = size_of(map, e, found.half);
      const bool finite = is_finite(map, e) && is_finite(map, kDims);
      const scalar_t at = static_cast<scalar_t>(pixel[e]) - map.centre[e];
      const bool is_first = pixel[e] == 0, is_last = pixel[e] >= to_index<index_t>(axis.last);  // which may be before size - 1
      const bool all = !axis.has_extent || everywhere || !finite;
      if (axis.has_extent && !finite && !(axis.ends_read_beyond && (is_first || is_last))) found.empty = true;
      bound(found.half_space[2 * e], map, e, sign, at - kReach, size, w_size, all || (axis.ends_read_beyond && is_first));
      bound(found.half_space[2 * e + 1], map, e, -sign, at + kReach, size, w_size, all || (axis.ends_read_beyond && is_last));
    }
    HalfSpace<kDims, scalar_t>& side = found.half_space[2 * kDims];
    side = none();
    if (map.w_row && !everywhere) {
      STN_UNROLL
      for (int j = 0; j < kDims; ++j) side.a[j] = sign * map.entry[kDims][j];
      side.b = sign * map.entry[kDims][kDims] + kSlack * w_size;
    }
    return found;
  }

  /// Whether a location is found by the search for that sign of w.
  STN_HOST_DEVICE bool is_on_side(const Map& map, scalar_t sign, const scalar_t (&position)[kDims]) const {
    return !map.w_row || (map.row(kDims, position) >= scalar_t(0)) == (sign > scalar_t(0));
  }

  /// What a position weighs the pixel with; 0 if it doesn't read it.
  STN_HOST_DEVICE scalar_t weight(const Map& map, const scalar_t (&position)[kDims]) const {
    scalar_t coordinate[kDims], product = 1;
    map.coordinate(position, coordinate);
    const Stencil<kDims, kMode, RuntimePadding, 0, scalar_t, index_t> stencil(coordinate, params.axes);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      const auto& taps = stencil.axis[e];
      scalar_t sum = 0;
      STN_UNROLL
      for (int k = 0; k < stencil.kAxisTaps; ++k) {
        if (taps.inside[k] && taps.index[k] == pixel[e]) sum += taps.weight[0][k];
      }
      product *= sum;
    }
    return product;
  }

  static constexpr scalar_t kReach = scalar_t(Interpolation<kMode>::kRadius);
  static constexpr scalar_t kSlack = sizeof(scalar_t) == 4 ? scalar_t(2e-6) : scalar_t(4e-15);  // 32 roundings

  /// A location without a coordinate, w being 0, reads the first pixel under border padding. There is none where w keeps its
  /// sign.
  STN_HOST_DEVICE bool reads_without_a_coordinate(const Map& map, scalar_t w_size) const {
    const scalar_t least_w = scalar_t(2) * magnitude(map.entry[kDims][kDims]) - w_size;
    bool reads = map.w_row && !(least_w > Map::kLeastW + kSlack * w_size);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      reads = reads && ((params.axes[e].ends_read_beyond && pixel[e] == 0) || !params.axes[e].has_extent);
    }
    return reads;
  }

  static STN_HOST_DEVICE HalfSpace<kDims, scalar_t> none() {
    HalfSpace<kDims, scalar_t> all;
    STN_UNROLL
    for (int j = 0; j < kDims; ++j) all.a[j] = 0;
    all.b = 1;
    return all;
  }

  /// The largest sum of the magnitudes of a row's products, which their rounding is in proportion to.
  static STN_HOST_DEVICE scalar_t size_of(const Map& map, int e, const scalar_t (&half)[kDims]) {
    scalar_t sum = magnitude(map.entry[e][kDims]);
    STN_UNROLL
    for (int j = 0; j < kDims; ++j) sum += magnitude(map.entry[e][j]) * half[j];
    return sum;
  }
  static STN_HOST_DEVICE scalar_t magnitude(scalar_t x) { return x < scalar_t(0) ? -x : x; }

  /// Whether a row is made of numbers. (Their sum may overflow, and be a coordinate at some location all the same.)
  static STN_HOST_DEVICE bool is_finite(const Map& map, int e) {
    bool finite = true;
    STN_UNROLL
    for (int j = 0; j <= kDims; ++j) finite = finite && magnitude(map.entry[e][j]) < scalar_t(INFINITY);
    return finite;
  }

  /// sign * (row(e) - limit * w) >= 0, loosened.
  STN_HOST_DEVICE void bound(HalfSpace<kDims, scalar_t>& result, const Map& map, int e, scalar_t sign, scalar_t limit,
                             scalar_t size, scalar_t w_size, bool unbounded) const {
    if (unbounded) {
      result = none();
      return;
    }
    STN_UNROLL
    for (int j = 0; j < kDims; ++j) result.a[j] = sign * (map.entry[e][j] - limit * map.entry[kDims][j]);
    const scalar_t largest = size + (magnitude(limit) + scalar_t(1) + magnitude(map.centre[e])) * w_size;
    result.b = sign * (map.entry[e][kDims] - limit * map.entry[kDims][kDims]) + kSlack * largest;
  }
};

}  // namespace stn
