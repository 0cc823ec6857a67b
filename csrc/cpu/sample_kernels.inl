// The forward and the backward of one instruction set; see kernels_<set>.cpp. Everything here has internal linkage and
// everything it calls is inlined, so that no code for one set is linked into another.
#include "kernel_support.inl"

namespace stn::cpu {
namespace {

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct Forward {
  using scalar_t = typename params_t::scalar_t;
  using Prepare = Preparation<params_t, kMode, 0, Lanes>;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    const params_t params(call);
    const auto prepare_tile = Prepare::with(call);
    typename Prepare::tile_t tile;
    const LocationUnits units(call.locations, call.batch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [n, location, count] = units.at(unit);
      prepare_tile(params, params.input.axis_stride, n, location, count, tile);
      for (int64_t c = 0; c < params.channels; ++c) {
        const auto* plane = params.input.plane(n, c);
        const FillSum<params_t> fill(params.fill, n, c);
        for (int i = 0; i < count; ++i) {
          scalar_t sum = fill.weighed_by([&](FillTap tap) { return tile.weight(tap, i); });
          for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
            const auto offset = tile.offset(tap, i);
            if (offset >= 0) sum += tile.weight(tap, i) * widen(plane[offset]);
          });
          params.output.store(n, c, location + i, sum);
        }
      }
    }
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct GradGrid {
  using scalar_t = typename params_t::scalar_t;
  using Prepare = Preparation<params_t, kMode, 1, Lanes>;
  static constexpr int kDims = params_t::kDims;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    const params_t params(call);
    const auto prepare_tile = Prepare::with(call);
    typename Prepare::tile_t tile;
    const LocationUnits units(call.locations, call.grid_batch);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [m, location, count] = units.at(unit);
      scalar_t gradient[kTile][kDims] = {};
      if constexpr (Interpolation<kMode>::kDifferentiable) {
        prepare_tile(params, params.input.axis_stride, m, location, count, tile);
        for (int64_t n = m; n < params.batch; n += params.owners) {  // the images that use this grid
          for (int64_t c = 0; c < params.channels; ++c) add_channel(params, tile, n, c, location, count, gradient);
        }
      }
      take_gradients(params.source, unit, m, location, count, gradient);
    }
  }

 private:
  static STN_HOST void add_channel(const params_t& params, const typename Prepare::tile_t& tile, int64_t n, int64_t c,
                                   int64_t location, int count, scalar_t (&gradient)[kTile][kDims]) {
    const auto* plane = params.input.plane(n, c);
    const FillSum<params_t> fill(params.fill, n, c);
    for (int i = 0; i < count; ++i) {
      scalar_t slope[kDims] = {};
      bool reads = false;
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) {
        slope[e] = fill.weighed_by([&](FillTap tap) { return tile.derivative(tap, e, i); });
        reads |= slope[e] != 0;
      }
      for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
        const auto offset = tile.offset(tap, i);
        if (offset < 0) return;
        reads = true;
        STN_UNROLL
        for (int e = 0; e < kDims; ++e) slope[e] += tile.derivative(tap, e, i) * widen(plane[offset]);
      });
      if (!reads) continue;  // no gradient, from an infinite grad_output either
      const scalar_t grad_output = params.grad_output.load(n, c, location + i);
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) gradient[i][e] += grad_output * slope[e];
    }
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct GradInput {
  using Prepare = Preparation<params_t, kMode, 0, Lanes>;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    scatter<Prepare>(
        call, begin, end, params_t(call), [](int64_t, int64_t, int) {},
        [](const typename Prepare::tile_t& tile, int tap, int i) { return tile.weight(tap, i); });
  }
};

void forward(const SampleCall& call, int64_t begin, int64_t end) { with_kernel<Forward>(call, begin, end, call.input); }
void grad_grid(const SampleCall& call, int64_t begin, int64_t end) { with_kernel<GradGrid>(call, begin, end, call.input); }
void grad_input(const SampleCall& call, int64_t begin, int64_t end) {
  with_kernel<GradInput>(call, begin, end, call.grad_input);
}

}  // namespace
}  // namespace stn::cpu
