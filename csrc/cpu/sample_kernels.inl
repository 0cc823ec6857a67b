// The sampling kernels of one instruction set; see kernels_<set>.cpp. Everything here has internal linkage and everything it
// calls is inlined, so that no code for one set is linked into another.
#include <limits>

#include "../core/dispatch.h"
#include "kernels.h"
#include "tile.h"

namespace stn::cpu {
namespace {

// The three sampling kernels are structs, so that with_kernel can instantiate any of them. None of them knows the padding:
// that ends with the preparation of a tile, which they get as a function.

template <typename params_t, InterpolationMode kMode, int kOrder, typename Lanes>
struct Preparation {
  using tile_t = Tile<params_t::kDims, kMode, kOrder, typename params_t::scalar_t, typename Lanes::offset_t>;
  using function_t = void (*)(const params_t&, const int64_t (&axis_stride)[params_t::kDims], int64_t n, int64_t location,
                              int count, tile_t&);

  static function_t with(PaddingMode padding) {
    function_t function = nullptr;
    dispatch_padding<kMode>(padding, [&](auto pad) { function = &run<decltype(pad)>; });
    return function;
  }

 private:
  template <typename Pad>
  static void run(const params_t& params, const int64_t (&axis_stride)[params_t::kDims], int64_t n, int64_t location, int count,
                  tile_t& tile) {
    prepare<Pad, Lanes>(params, axis_stride, n, location, count, tile);
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct Forward {
  using scalar_t = typename params_t::scalar_t;
  using Prepare = Preparation<params_t, kMode, 0, Lanes>;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    const params_t params(call);
    const auto prepare_tile = Prepare::with(call.padding);
    typename Prepare::tile_t tile;
    const LocationUnits units(call);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [n, location, count] = units.at(unit);
      prepare_tile(params, params.input.axis_stride, n, location, count, tile);
      for (int64_t c = 0; c < params.channels; ++c) {
        const scalar_t* plane = params.input.plane(n, c);
        scalar_t* output = params.output.at(n, c, location);
        for (int i = 0; i < count; ++i) {
          scalar_t sum = 0;
          for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
            const auto offset = tile.offset(tap, i);
            if (offset >= 0) sum += tile.weight(tap, i) * plane[offset];
          });
          output[i * params.output.location_stride] = sum;
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
    const auto prepare_tile = Prepare::with(call.padding);
    typename Prepare::tile_t tile;
    const LocationUnits units(call);
    for (int64_t unit = begin; unit < end; ++unit) {
      const auto [n, location, count] = units.at(unit);
      scalar_t gradient[kTile][kDims] = {};
      if constexpr (Interpolation<kMode>::kDifferentiable) {
        prepare_tile(params, params.input.axis_stride, n, location, count, tile);
        for (int64_t c = 0; c < params.channels; ++c) add_channel(params, tile, n, c, location, count, gradient);
      }
      for (int i = 0; i < count; ++i) params.source.store_gradient(n, location + i, gradient[i]);
    }
  }

 private:
  static STN_HOST void add_channel(const params_t& params, const typename Prepare::tile_t& tile, int64_t n, int64_t c,
                                   int64_t location, int count, scalar_t (&gradient)[kTile][kDims]) {
    const scalar_t* plane = params.input.plane(n, c);
    const scalar_t* grad_output = params.grad_output.at(n, c, location);
    for (int i = 0; i < count; ++i) {
      scalar_t slope[kDims] = {};
      bool reads = false;
      for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
        const auto offset = tile.offset(tap, i);
        if (offset < 0) return;
        reads = true;
        STN_UNROLL
        for (int e = 0; e < kDims; ++e) slope[e] += tile.derivative(tap, e, i) * plane[offset];
      });
      if (!reads) continue;  // no gradient, from an infinite grad_output either
      STN_UNROLL
      for (int e = 0; e < kDims; ++e) gradient[i][e] += grad_output[i * params.grad_output.location_stride] * slope[e];
    }
  }
};

template <typename params_t, InterpolationMode kMode, typename Lanes>
struct GradInput {
  using scalar_t = typename params_t::scalar_t;
  using Prepare = Preparation<params_t, kMode, 0, Lanes>;

  static void run(const SampleCall& call, int64_t begin, int64_t end) {
    const params_t params(call);
    const InputUnits units(call);
    for (int64_t unit = begin; unit < end; ++unit) add_unit(params, units, units.at(unit), Prepare::with(call.padding));
  }

 private:
  static STN_HOST void add_unit(const params_t& params, const InputUnits& units, const InputUnits::Unit& unit,
                                typename Prepare::function_t prepare_tile) {
    // grad_input is dense and its slowest axis the outermost one of a plane: a band of rows is a range of offsets.
    using offset_t = typename Lanes::offset_t;
    const int64_t row_stride = params.grad_input.axis_stride[params_t::kDims - 1];
    const auto begin = static_cast<offset_t>(unit.first_row * row_stride);
    const bool last = unit.last_row == units.rows;
    const auto end = last ? std::numeric_limits<offset_t>::max() : static_cast<offset_t>(unit.last_row * row_stride);
    typename Prepare::tile_t tile;
    for (int64_t location = 0; location < params.locations; location += kTile) {
      const int count = static_cast<int>(std::min<int64_t>(kTile, params.locations - location));
      prepare_tile(params, params.grad_input.axis_stride, unit.n, location, count, tile);
      if (units.bands > 1 && !tile.touches(begin, end, count)) continue;
      for (int64_t c = unit.first_channel; c < unit.last_channel; ++c) {
        scalar_t* plane = params.grad_input.plane(unit.n, c);
        const scalar_t* grad_output = params.grad_output.at(unit.n, c, location);
        for (int i = 0; i < count; ++i) {
          const scalar_t gradient = grad_output[i * params.grad_output.location_stride];
          for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
            const offset_t offset = tile.offset(tap, i);  // negative outside: before every band
            if (offset >= begin && offset < end) plane[offset] += gradient * tile.weight(tap, i);
          });
        }
      }
    }
  }
};

/// Whether offsets into one plane of the image fit the 32-bit lanes of WideLanes<float>: positions with room for taps
/// outside, and the extent so that no sum with a kOutside reaches 0.
STN_HOST bool fits_32_bits(const SampleCall& call, const ImageArray& image) {
  int64_t extent = 0;
  for (int e = 0; e < call.dims; ++e) {
    if (call.size[e] >= INT32_MAX / 2) return false;
    extent += (call.size[e] + 8) * image.axis_stride[e];
  }
  return extent < -int64_t(kOutside<int32_t>);
}

template <template <typename, InterpolationMode, typename> class Kernel>
STN_HOST void with_kernel(const SampleCall& call, const ImageArray& image, int64_t begin, int64_t end) {
  dispatch_dims(call.dims, [&](auto dims) {
    dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
      using Double = SampleParams<decltype(dims)::value, double, int64_t>;
      using Float = SampleParams<decltype(dims)::value, float, int64_t>;
      constexpr InterpolationMode kMode = decltype(mode)::value;
      if (call.dtype == ScalarType::kDouble) return Kernel<Double, kMode, WideLanes<double>>::run(call, begin, end);
      if (fits_32_bits(call, image)) return Kernel<Float, kMode, WideLanes<float>>::run(call, begin, end);
      return Kernel<Float, kMode, SingleLane<float>>::run(call, begin, end);
    });
  });
}

void forward(const SampleCall& call, int64_t begin, int64_t end) { with_kernel<Forward>(call, call.input, begin, end); }
void grad_grid(const SampleCall& call, int64_t begin, int64_t end) { with_kernel<GradGrid>(call, call.input, begin, end); }
void grad_input(const SampleCall& call, int64_t begin, int64_t end) {
  with_kernel<GradInput>(call, call.grad_input, begin, end);
}

}  // namespace
}  // namespace stn::cpu
