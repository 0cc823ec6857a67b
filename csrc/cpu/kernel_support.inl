// What the sampling kernels of one instruction set share: the preparation of a tile, and the choice of an instantiation.
#pragma once
#include <limits>

#include "../core/dispatch.h"
#include "../core/sample.h"
#include "kernels.h"
#include "transform.inl"

namespace stn::cpu {
namespace {

template <typename Pad, typename Lanes, typename geometry_t, InterpolationMode kMode, int kOrder, typename tile_t>
void prepare_tile(const geometry_t& geometry, const int64_t (&axis_stride)[geometry_t::kDims], int64_t n, int64_t location,
                  int count, tile_t& tile) {
  TileOf<geometry_t::kDims, typename geometry_t::scalar_t> coordinates = {};  // filled up to whole vectors
  tile_coordinates(geometry.source, n, location, count, coordinates);
  prepare<Pad, Lanes>(geometry, axis_stride, coordinates, count, tile);
}

/// The function that prepares tiles for a call's padding. Kernels get it as a function, so that none of them knows the padding.
/// One location at a time, for images beyond 32-bit offsets, looks padding up at run time: a function each isn't worth it.
template <typename params_t, InterpolationMode kMode, int kOrder, typename Lanes>
struct Preparation {
  using offset_t = typename Lanes::offset_t;
  using geometry_t = typename params_t::Geometry;  // one preparation for all that an image may be stored in
  using tile_t = Tile<params_t::kDims, kMode, kOrder, typename params_t::scalar_t, offset_t>;
  using function_t = void (*)(const geometry_t&, const int64_t (&axis_stride)[params_t::kDims], int64_t n, int64_t location,
                              int count, tile_t&);

  static function_t with(const SampleCall& call) {
    function_t function = &prepare_tile<RuntimePadding, Lanes, geometry_t, kMode, kOrder>;
    if constexpr (!Lanes::kAreMany) return function;
    dispatch_padding<kMode>(call, [&](auto pad) { function = &prepare_tile<decltype(pad), Lanes, geometry_t, kMode, kOrder>; });
    return function;
  }
};

/// What a channel's fill value adds to the sums of its taps.
template <typename params_t>
struct FillSum {
  using scalar_t = typename params_t::scalar_t;
  bool exists;
  scalar_t value;

  template <typename channels_t>
  STN_HOST FillSum(const channels_t& fill, int64_t n, int64_t c) : exists(fill.data), value(fill.data ? fill.at(n, c) : 0) {}

  /// 0 without a fill value; `weight` is not called then.
  template <typename Weight>
  STN_HOST scalar_t weighed_by(Weight&& weight, scalar_t factor = 1) const {
    return exists ? weighed(FillTap{}, weight(FillTap{}), factor * value) : scalar_t(0);
  }
};

/// For the units [begin, end) of InputUnits: adds grad_output times weight(tile, tap, i) at every tap into the unit's share of
/// grad_input. begin_tile(n, first location, count) is called for every tile before its weights.
template <typename Prepare, typename params_t, typename BeginTile, typename Weight>
STN_HOST void scatter(const SampleCall& call, int64_t begin, int64_t end, const params_t& params, BeginTile&& begin_tile,
                      Weight&& weight) {
  using scalar_t = typename params_t::scalar_t;
  using offset_t = typename Prepare::offset_t;
  const InputUnits units(call);
  const auto prepare_tile = Prepare::with(call);
  typename Prepare::tile_t tile;
  for (int64_t number = begin; number < end; ++number) {
    const InputUnits::Unit unit = units.at(number);
    // grad_input is dense and its slowest axis the outermost one of a plane: a band of rows is a range of offsets.
    const int64_t row_stride = params.grad_input.axis_stride[params_t::kDims - 1];
    const auto first = static_cast<offset_t>(unit.first_row * row_stride);
    const bool last_band = unit.last_row == units.rows;
    const auto last = last_band ? std::numeric_limits<offset_t>::max() : static_cast<offset_t>(unit.last_row * row_stride);
    const auto add_tile = [&](int64_t n, int64_t location, int count) {
      prepare_tile(params, params.grad_input.axis_stride, n, location, count, tile);
      if (units.bands > 1 && !tile.touches(first, last, count)) return;
      begin_tile(n, location, count);
      for (int64_t c = unit.first_channel; c < unit.last_channel; ++c) {
        scalar_t* plane = params.grad_input.plane(n, c);
        for (int i = 0; i < count; ++i) {
          const scalar_t gradient = params.grad_output.load(n, c, location + i);
          for_each_tap<Prepare::tile_t::kTaps>([&](int tap) {
            const offset_t offset = tile.offset(tap, i);  // negative outside: before every band
            if (offset >= first && offset < last) plane[offset] += gradient * weight(tile, tap, i);
          });
        }
      }
    };
    for (int64_t n = unit.n; n < params.batch; n += params.input_batch) {  // the images that read this one
      for (int64_t location = 0; location < params.locations; location += kTile) {
        add_tile(n, location, static_cast<int>(std::min<int64_t>(kTile, params.locations - location)));
      }
    }
  }
}

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

/// Runs Kernel, a struct template with a function run, on the units [begin, end). Images are those whose offsets it forms.
template <template <typename, InterpolationMode, typename> class Kernel, typename... images_t>
STN_HOST void with_kernel(const SampleCall& call, int64_t begin, int64_t end, const images_t&... images) {
  dispatch_dims(call.dims, [&](auto dims) {
    constexpr int kDims = decltype(dims)::value;
    dispatch<kInterpolationModes>(call.mode, [&](auto mode) {
      constexpr InterpolationMode kMode = decltype(mode)::value;
      dispatch_dtype(call.dtype, [&](auto zero) {
        using scalar_t = accumulate_t<decltype(zero)>;
        using params_t = SampleParams<kDims, decltype(zero), int64_t, AnySource<kDims, scalar_t, int64_t>>;
        constexpr bool kNarrowLanes = sizeof(typename WideLanes<scalar_t>::offset_t) < sizeof(int64_t);
        if (kNarrowLanes && !(fits_32_bits(call, images) && ...)) {
          if constexpr (kNarrowLanes) Kernel<params_t, kMode, SingleLane<scalar_t>>::run(call, begin, end);
        } else {
          Kernel<params_t, kMode, WideLanes<scalar_t>>::run(call, begin, end);
        }
      });
    });
  });
}

}  // namespace
}  // namespace stn::cpu
