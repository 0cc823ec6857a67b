// The second derivatives of one instruction set; see sample_kernels.inl. With tangents tI of input and tx of the coordinates,
// w the weight of a tap with pixel I and g grad_output (csrc/README.md, "Second derivatives"):
//
//   grad_grad_output   sum over taps of  w tI + sum_e tx_e (dw/de) I        which is the tangent of the output, too
//   grad_input         g sum_e tx_e (dw/de), added at each tap
//   grad_grid, axis e  sum over channels of  g sum over taps of  (dw/de) tI + sum_f tx_f (d2w/de df) I
#include "kernel_support.inl"

namespace stn::cpu {
namespace {

/// Tangents of the coordinates of a tile's locations; zeros where there are none.
template <typename params_t>
struct TileTangents {
  typename params_t::scalar_t at[kTile][params_t::kDims];

  STN_HOST void load(const params_t& params, int64_t n, int64_t location, int count) {
    for (int i = 0; i < count; ++i) {
      for (int e = 0; e < params_t::kDims; ++e)
        at[i][e] = params.tangent_grid.data ? params.tangent_grid.load(n, e, location + i) : 0;
    }
  }

  /// The derivative of a tap's weight in the direction of location i's tangent.
  template <typename tile_t, typename tap_t>
  STN_HOST typename params_t::scalar_t along(const tile_t& tile, tap_t tap, int i) const {
    typename params_t::scalar_t sum = 0;
    STN_UNROLL
    for (int e = 0; e < params_t::kDims; ++e) sum += at[i][e] * tile.derivative(tap, e, i);
    return sum;
  }

  /// ... and of that, by coordinate e.
  template <typename tile_t, typename tap_t>
  STN_HOST typename params_t::scalar_t bend(const tile_t& tile, tap_t tap, int e, int i) const {
    typename params_t::scalar_t sum = 0;
    STN_UNROLL
    for (int f = 0; f < params_t::kDims; ++f) sum += at[i][f] * tile.second_derivative(tap, e, f, i);
    return sum;
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct GradGradOutput {
  using scalar_t = typename params_t::scalar_t;
  using Prepare = Preparation<params_t, kMode, 1, Lanes>;
  using PrepareTangent = Preparation<params_t, kMode, 0, Lanes>;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    const params_t params(call);
    const auto prepare_tile = Prepare::with(call);
    const auto prepare_tangent = PrepareTangent::with(call);
    const bool along_grid = params.tangent_grid.data && Interpolation<kMode>::kDifferentiable;
    const bool moves = params.tangent_input.data || params.tangent_fill.data;
    const Channels<const scalar_t, int64_t> none{ChannelArray{}};
    typename Prepare::tile_t tile;             // offsets into input
    typename PrepareTangent::tile_t tangents;  // offsets into tangent_input
    TileTangents<params_t> directions;
    const LocationUnits units(call.locations, call.batch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [n, location, count] = units.at(unit);
      if (along_grid) prepare_tile(params, params.input.axis_stride, n, location, count, tile);
      if (moves) prepare_tangent(params, params.tangent_input.axis_stride, n, location, count, tangents);
      directions.load(params, n, location, count);
      for (int64_t c = 0; c < params.channels; ++c) {
        const FillSum<params_t> fill(along_grid ? params.fill : none, n, c), moved_fill(params.tangent_fill, n, c);
        for (int i = 0; i < count; ++i) {
          scalar_t sum = moved_fill.weighed_by([&](FillTap tap) { return tangents.weight(tap, i); });
          sum += fill.weighed_by([&](FillTap tap) { return directions.along(tile, tap, i); });
          if (params.tangent_input.data) {
            const auto* plane = params.tangent_input.plane(n, c);
            for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
              const auto offset = tangents.offset(tap, i);
              if (offset >= 0) sum += tangents.weight(tap, i) * widen(plane[offset]);
            });
          }
          if (along_grid) {
            const auto* plane = params.input.plane(n, c);
            for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
              const auto offset = tile.offset(tap, i);
              if (offset >= 0) sum += directions.along(tile, tap, i) * widen(plane[offset]);
            });
          }
          params.grad_grad_output.store(n, c, location + i, sum);
        }
      }
    }
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct SecondGradGrid {
  using scalar_t = typename params_t::scalar_t;
  using storage_t = typename params_t::storage_t;
  using Prepare = Preparation<params_t, kMode, 2, Lanes>;
  using PrepareTangent = Preparation<params_t, kMode, 1, Lanes>;
  static constexpr int kDims = params_t::kDims;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    const params_t params(call);
    const auto prepare_tile = Prepare::with(call);
    const auto prepare_tangent = PrepareTangent::with(call);
    typename Prepare::tile_t tile;
    typename PrepareTangent::tile_t tangents;
    TileTangents<params_t> directions;
    const LocationUnits units(call.locations, call.grid_batch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [m, location, count] = units.at(unit);
      scalar_t gradient[kTile][kDims] = {};
      if constexpr (Interpolation<kMode>::kDifferentiable) {
        const bool moves = params.tangent_input.data || params.tangent_fill.data;
        if (params.tangent_grid.data) prepare_tile(params, params.input.axis_stride, m, location, count, tile);
        if (moves) prepare_tangent(params, params.tangent_input.axis_stride, m, location, count, tangents);
        directions.load(params, m, location, count);
        for (int64_t n = m; n < params.batch; n += params.owners) {  // the images that use this grid
          for (int64_t c = 0; c < params.channels; ++c) {
            const FillSum<params_t> fill(params.fill, n, c), moved_fill(params.tangent_fill, n, c);
            for (int i = 0; i < count; ++i) {
              const scalar_t g = params.grad_output.load(n, c, location + i);
              if (params.tangent_input.data) add_tangent(params.tangent_input.plane(n, c), tangents, g, i, gradient[i]);
              if (params.tangent_grid.data) add_second(params.input.plane(n, c), tile, directions, g, i, gradient[i]);
              STN_UNROLL
              for (int e = 0; e < kDims; ++e) {
                gradient[i][e] += moved_fill.weighed_by([&](FillTap tap) { return tangents.derivative(tap, e, i); }, g);
                if (!params.tangent_grid.data) continue;
                gradient[i][e] += fill.weighed_by([&](FillTap tap) { return directions.bend(tile, tap, e, i); }, g);
              }
            }
          }
        }
      }
      take_gradients(params.source, unit, m, location, count, gradient);
    }
  }

 private:
  static STN_HOST void add_tangent(const storage_t* plane, const typename PrepareTangent::tile_t& tile, scalar_t g, int i,
                                   scalar_t (&gradient)[kDims]) {
    for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
      const auto offset = tile.offset(tap, i);
      if (offset < 0) return;
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) gradient[e] += g * tile.derivative(tap, e, i) * widen(plane[offset]);
    });
  }

  static STN_HOST void add_second(const storage_t* plane, const typename Prepare::tile_t& tile,
                                  const TileTangents<params_t>& directions, scalar_t g, int i, scalar_t (&gradient)[kDims]) {
    for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
      const auto offset = tile.offset(tap, i);
      if (offset < 0) return;
      const scalar_t pixel = g * widen(plane[offset]);
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) gradient[e] += pixel * directions.bend(tile, tap, e, i);
    });
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct SecondGradInput {
  using Prepare = Preparation<params_t, kMode, 1, Lanes>;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    if (!call.tangent_grid.data || !Interpolation<kMode>::kDifferentiable) return;
    const params_t params(call);
    TileTangents<params_t> directions;
    scatter<Prepare>(
        call, begin, end, params, [&](int64_t n, int64_t location, int count) { directions.load(params, n, location, count); },
        [&](const typename Prepare::tile_t& tile, int tap, int i) { return directions.along(tile, tap, i); });
  }
};

void grad_grad_output(const SampleCall& call, int64_t begin, int64_t end) {
  with_kernel<GradGradOutput>(call, begin, end, call.input, call.tangent_input);
}
void second_grad_grid(const SampleCall& call, int64_t begin, int64_t end) {
  with_kernel<SecondGradGrid>(call, begin, end, call.input, call.tangent_input);
}
void second_grad_input(const SampleCall& call, int64_t begin, int64_t end) {
  with_kernel<SecondGradInput>(call, begin, end, call.grad_input);
}

}  // namespace
}  // namespace stn::cpu
