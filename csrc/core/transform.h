#pragma once
#include "arrays.h"
#include "numeric.h"

namespace stn {

// Grid generators, Jaderberg et al. 2015, equation 1 and section 3.2: a location's own position goes to its coordinate.
//
// Positions are counted in pixels from the output's centre: whole or half numbers, exact, and of the least size that sums of
// products with them can have. theta is defined on normalised coordinates of output and input; multiplied by `unit`, entry by
// entry, it takes a position to a displacement from `centre`, in the result's own units:
//
//                  unit[e][j]    unit[e][dims]    centre[e]
//   pixels         E_e / O_j     E_e / 2          (size_e - 1) / 2
//   normalised     2 / O_j       1                0
//   w's row        2 / O_j       1
//
// with E_e and O_j the extents of the input's axis e and the output's axis j: their sizes, less 1 from centre to centre. So the
// identity is exact where sizes are equal: E / O is 1, and position + centre a whole number. An axis without extent has the
// position 0. A flow is added to the position counted from the first pixel; its result is (that - centre_e) * unit[e][e].

/// A theta in the units of its result: its rows, and below them the row of w. `w_row` is a branch on the call.
template <int kDims, typename scalar_t>
struct ThetaMap {
  static constexpr scalar_t kLeastW = scalar_t(1e-8);  // of a location that has a coordinate

  scalar_t entry[kDims + 1][kDims + 1];
  scalar_t centre[kDims];
  bool w_row;

  /// Row e times (position, 1).
  template <typename value_t>
  STN_HOST_DEVICE value_t row(int e, const value_t (&position)[kDims]) const {
    value_t sum = broadcast<value_t>(entry[e][kDims]);
    STN_UNROLL
    for (int j = kDims - 1; j >= 0; --j) sum = multiply_add(entry[e][j], position[j], sum);
    return sum;
  }

  /// 1 / w, and 0 where w is too near to 0: there is no coordinate there.
  template <typename value_t>
  STN_HOST_DEVICE value_t inverse_w(const value_t (&position)[kDims]) const {
    if (!w_row) return broadcast<value_t>(1);
    const value_t w = row(kDims, position);
    const auto none = (w < kLeastW) & (w > -kLeastW);
    return select(none, scalar_t(0), scalar_t(1) / select(none, broadcast<value_t>(1), w));
  }

  template <typename value_t>
  STN_HOST_DEVICE void coordinate(const value_t (&position)[kDims], value_t (&result)[kDims]) const {
    const value_t inverse = inverse_w(position);
    const auto none = inverse == scalar_t(0);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      const value_t displacement = row(e, position);
      const value_t moved = displacement + centre[e];
      result[e] =
          w_row ? select(none, scalar_t(NAN), multiply_add(inverse, displacement, broadcast<value_t>(centre[e]))) : moved;
    }
  }

  /// The derivative of the coordinate along `tangent`, another theta.
  STN_HOST_DEVICE void along(const ThetaMap& tangent, const scalar_t (&position)[kDims], scalar_t (&result)[kDims]) const {
    const scalar_t inverse = inverse_w(position);
    const scalar_t t_w = w_row ? tangent.row(kDims, position) : scalar_t(0);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      const scalar_t t_displacement = tangent.row(e, position);
      result[e] = w_row ? (t_displacement - row(e, position) * inverse * t_w) * inverse : t_displacement;
    }
  }

  /// What (position, 1) is multiplied by in the gradient of each row, for the gradient of the coordinate.
  STN_HOST_DEVICE void row_gradients(const scalar_t (&position)[kDims], const scalar_t (&gradient)[kDims],
                                     scalar_t (&result)[kDims + 1]) const {
    const scalar_t inverse = inverse_w(position);
    result[kDims] = 0;
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      result[e] = gradient[e] * inverse;
      if (w_row && gradient[e] != scalar_t(0)) result[kDims] -= result[e] * row(e, position) * inverse;
    }
  }

  /// The derivative of row_gradients along `tangent`. Without a row of w the map is linear, and this is 0.
  STN_HOST_DEVICE void second_row_gradients(const ThetaMap& tangent, const scalar_t (&position)[kDims],
                                            const scalar_t (&gradient)[kDims], scalar_t (&result)[kDims + 1]) const {
    const scalar_t inverse = w_row ? inverse_w(position) : scalar_t(0);
    const scalar_t t_w = tangent.row(kDims, position) * inverse;
    result[kDims] = 0;
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) {
      const scalar_t each = gradient[e] * inverse;
      result[e] = -each * t_w;
      result[kDims] += each * inverse * (scalar_t(2) * row(e, position) * t_w - tangent.row(e, position));
    }
  }
};

/// TransformArrays as kernels see them: affine, projective or a flow, by a branch on the call.
template <int kDims, typename scalar_t, typename index_t>
struct Transform {
  static constexpr int kEntries = (kDims + 1) * (kDims + 1);  // sums of theta's gradient, in the layout of ThetaMap::entry

  TransformKind kind;
  index_t size[kDims];
  const scalar_t *theta, *tangent_theta;
  index_t theta_stride[3], tangent_stride[3];
  Locations<scalar_t, index_t> flow, tangent_flow, grad_flow;
  scalar_t unit[kDims + 1][kDims + 1];
  scalar_t centre[kDims];
  double* partial;

  STN_HOST explicit Transform(const TransformArrays& call)
      : kind(call.kind),
        theta(static_cast<const scalar_t*>(call.theta)),
        tangent_theta(static_cast<const scalar_t*>(call.tangent_theta)),
        flow(call.flow),
        tangent_flow(call.tangent_flow),
        grad_flow(call.grad_flow),
        partial(call.partial) {
    for (int i = 0; i < 3; ++i) {
      theta_stride[i] = static_cast<index_t>(call.theta_stride[i]);
      tangent_stride[i] = static_cast<index_t>(call.tangent_stride[i]);
    }
    for (int e = 0; e < kDims; ++e) {
      size[e] = static_cast<index_t>(call.size[e]);
      centre[e] = static_cast<scalar_t>(call.centre[e]);
    }
    for (int e = 0; e <= kDims; ++e) {
      for (int j = 0; j <= kDims; ++j) unit[e][j] = static_cast<scalar_t>(call.unit[e][j]);
    }
  }

  STN_HOST_DEVICE bool is_flow() const { return kind == TransformKind::kFlow; }

  /// From the centre of the output, in pixels: a whole or half number.
  STN_HOST_DEVICE scalar_t position_on(int e, index_t i) const { return scalar_t(2 * i - (size[e] - 1)) * scalar_t(0.5); }

  STN_HOST_DEVICE void position_of(index_t location, scalar_t (&position)[kDims]) const {
    index_t rest = location;
    STN_UNROLL
    for (int e = 0; e < kDims - 1; ++e) {
      const index_t next = rest / size[e];
      position[e] = position_on(e, rest - next * size[e]);
      rest = next;
    }
    position[kDims - 1] = position_on(kDims - 1, rest);
  }

  STN_HOST_DEVICE ThetaMap<kDims, scalar_t> map_of(index_t n) const { return loaded(theta, theta_stride, n, true); }
  STN_HOST_DEVICE ThetaMap<kDims, scalar_t> tangent_of(index_t n) const {
    return loaded(tangent_theta, tangent_stride, n, false);
  }

  STN_HOST_DEVICE scalar_t flow_coordinate(index_t n, index_t location, int e, scalar_t position) const {
    const scalar_t from_first = position + scalar_t(size[e] - 1) * scalar_t(0.5);
    return (from_first + flow.load(n, e, location) - centre[e]) * unit[e][e];
  }

  STN_HOST_DEVICE void coordinate(index_t n, index_t location, scalar_t (&result)[kDims]) const {
    scalar_t position[kDims];
    position_of(location, position);
    if (!is_flow()) return map_of(n).coordinate(position, result);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) result[e] = flow_coordinate(n, location, e, position[e]);
  }

  /// The derivative of the coordinate along the tangent of the parameters.
  STN_HOST_DEVICE void along(index_t n, index_t location, scalar_t (&result)[kDims]) const {
    scalar_t position[kDims];
    position_of(location, position);
    if (!is_flow()) return map_of(n).along(tangent_of(n), position, result);
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) result[e] = tangent_flow.load(n, e, location) * unit[e][e];
  }

  /// A flow's gradient: each location owns its entry, so this stores. `second`: the derivative along the tangent, 0.
  STN_HOST_DEVICE void store_grad_flow(index_t n, index_t location, const scalar_t (&gradient)[kDims],
                                       bool second = false) const {
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) grad_flow.store(n, e, location, second ? scalar_t(0) : gradient[e] * unit[e][e]);
  }

  /// Adds one location's share to the gradient of theta before `unit`, which is the same for all. A double for every dtype,
  /// because the sum runs over all locations.
  static STN_HOST_DEVICE void add_theta_gradient(const scalar_t (&row_gradients)[kDims + 1], const scalar_t (&position)[kDims],
                                                 double (&sum)[kEntries]) {
    STN_UNROLL
    for (int e = 0; e <= kDims; ++e) {
      STN_UNROLL
      for (int j = 0; j < kDims; ++j) sum[e * (kDims + 1) + j] += double(row_gradients[e]) * double(position[j]);
      sum[e * (kDims + 1) + kDims] += double(row_gradients[e]);
    }
  }

  /// Image n's gradient of theta from the whole sum, rounded once.
  template <typename storage_t>
  STN_HOST_DEVICE void store_grad_theta(storage_t* grad_theta, index_t n, const double (&sum)[kEntries]) const {
    const index_t rows = kind == TransformKind::kProjective ? kDims + 1 : kDims;
    STN_UNROLL
    for (int i = 0; i < kEntries; ++i) {
      const int e = i / (kDims + 1), j = i % (kDims + 1);
      if (e < rows) {
        const scalar_t value = static_cast<scalar_t>(sum[i] * double(unit[e][j]));
        grad_theta[(n * rows + e) * (kDims + 1) + j] = narrow<storage_t>(value);
      }
    }
  }

 private:
  STN_HOST_DEVICE ThetaMap<kDims, scalar_t> loaded(const scalar_t* from, const index_t (&stride)[3], index_t n,
                                                   bool is_primal) const {
    ThetaMap<kDims, scalar_t> map;
    map.w_row = kind == TransformKind::kProjective;
    STN_UNROLL
    for (int e = 0; e <= kDims; ++e) {
      STN_UNROLL
      for (int j = 0; j <= kDims; ++j) {
        const bool given = e < kDims || map.w_row;
        map.entry[e][j] =
            given ? from[n * stride[0] + e * stride[1] + j * stride[2]] * unit[e][j] : scalar_t(is_primal && j == kDims);
      }
    }
    STN_UNROLL
    for (int e = 0; e < kDims; ++e) map.centre[e] = centre[e];
    return map;
  }
};

}  // namespace stn
