// The kernels of one instruction set, named once for all of them.
#pragma once
#include "fill_kernels.inl"
#include "kernels.h"
#include "line_kernels.inl"
#include "plane_kernels.inl"
#include "transform_grid_kernels.inl"

namespace stn::cpu {
namespace {

template <bool kSecond>
constexpr Kernels::Order order_kernels() {
  return {plane_read_kernel<kSecond>,      plane_source_gradient_kernel<kSecond>, plane_input_gradient_kernel<kSecond>,
          plane_gradients_kernel<kSecond>, part_gradients_kernel<kSecond>,        rest_of_parts_kernel<kSecond>,
          line_read_kernel<kSecond>,       line_gradients_kernel<kSecond>};
}

constexpr Kernels all_kernels() {
  return {order_kernels<false>(), order_kernels<true>(), tile_ranges_kernel,      mark_parts_kernel, sum_line_groups_kernel,
          fill_gradient,          transform_grid,        transform_grid_backward, theta_sums};
}

}  // namespace
}  // namespace stn::cpu
