#pragma once
#include "../core/call.h"
#include "../core/storage.h"
#include "partition.h"
#include "vector.h"

namespace stn::cpu {

/// Numbers for the locations of a chunk.
template <typename scalar_t>
using Row = scalar_t[kChunk];

/// Elements of some channels: channel k's begin at first + k * stride.
template <typename element_t>
struct ChannelRows {
  element_t* first;
  int64_t stride;
  STN_HOST element_t* operator[](int k) const { return first + k * stride; }
  STN_HOST ChannelRows from(int k) const { return {first + k * stride, stride}; }
};

/// Rows of as many channels as are read in planes at a time, at most.
constexpr int kMostPlanes = 4;
template <typename scalar_t>
using PlaneRows = Row<scalar_t>[kMostPlanes];

/// Calls body(k, std::integral_constant<int, planes>) for channels from the k-th on, until all of `count` were visited: for all
/// at once where there is a kernel for as many, or one by one. (For 2, and for 16 bits, it would take g++ longer than it
/// gains.)
template <typename storage_t, typename Body>
STN_HOST void with_planes(int count, Body&& body) {
  if constexpr (sizeof(storage_t) > 2) {
    if (count == 3) return body(0, std::integral_constant<int, 3>{});
    if (count == 4) return body(0, std::integral_constant<int, 4>{});
  }
  for (int k = 0; k < count; ++k) body(k, std::integral_constant<int, 1>{});
}

/// Whole vectors of zeros; an initialiser would be a `rep stos`, which takes longer to start than a row takes.
template <typename scalar_t>
STN_HOST void clear(scalar_t* row) {
  using value_t = vector_of<scalar_t>;
  for (int i = 0; i < kChunk; i += kLanes<value_t>) store_lanes(&row[i], value_t{});
}

// Elements in memory, whose type is known at run time. Kernels are compiled for what they compute in, float or double; what
// is stored is looked up once for many elements, here.

/// Calls body(an element) with the type that `dtype` means where scalar_t is computed in.
template <typename scalar_t, typename Body>
STN_HOST void with_storage(ScalarType dtype, Body&& body) {
  if constexpr (std::is_same<scalar_t, double>::value) {
    body(double{});
  } else if (dtype == ScalarType::kHalf) {
    body(Half{});
  } else if (dtype == ScalarType::kBFloat16) {
    body(BFloat16{});
  } else {
    body(float{});
  }
}

/// Elements some channels and some locations apart: channel k's i-th one is data[k * channel_stride + i * stride].
struct Rows {
  char* data;
  ScalarType dtype;
  int64_t channel_stride, stride;

  STN_HOST Rows from(int64_t channel, int64_t i) const {
    return {data + (channel * channel_stride + i * stride) * element_size(dtype), dtype, channel_stride, stride};
  }
  template <typename storage_t>
  STN_HOST storage_t* row(int channel) const {
    return rows<storage_t>()[channel];
  }
  template <typename storage_t>
  STN_HOST ChannelRows<storage_t> rows() const {
    return {reinterpret_cast<storage_t*>(data), channel_stride};
  }
  /// Whether elements are what is computed in.
  STN_HOST bool is_plain() const { return dtype == computed_in(dtype); }
};

/// The channels of image n from c on, from the first pixel on along the fastest axis.
STN_HOST Rows rows_of(const ImageArray& image, ScalarType dtype, int64_t n, int64_t c) {
  char* data = static_cast<char*>(image.data) + (n * image.batch_stride + c * image.channel_stride) * element_size(dtype);
  return {data, dtype, image.channel_stride, image.axis_stride[0]};
}

/// The channels of image n from c on, from `location` on.
STN_HOST Rows rows_of(const LocationArray& array, ScalarType dtype, int64_t n, int64_t c, int64_t location) {
  const ScalarType stored = array.widened ? computed_in(dtype) : dtype;
  char* data = static_cast<char*>(array.data) + n * array.batch_stride * element_size(stored);
  return Rows{data, stored, array.component_stride, array.location_stride}.from(c, location);
}

/// Zeros for channels [first_channel, last_channel) of image n. Of a dense array of either memory format, whose strides are
/// those of its sizes (an axis of one index may have any in the call).
template <typename scalar_t>
STN_HOST void clear_image(const SampleCall& call, const ImageArray& image, int64_t n, int64_t first_channel,
                          int64_t last_channel) {
  const int64_t pixels = call.pixels(), channels = last_channel - first_channel;
  scalar_t* from = static_cast<scalar_t*>(image.data) + n * call.channels * pixels;
  const auto clear_some = [&](int64_t offset, int64_t count) {
    std::memset(from + offset, 0, static_cast<size_t>(count) * sizeof(scalar_t));
  };
  if (image.channel_stride != 1 || channels == call.channels) {
    clear_some(first_channel * pixels, channels * pixels);
  } else {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) clear_some(pixel * call.channels + first_channel, channels);
  }
}

/// 16-bit floats, one in each lane.
template <typename storage_t>
STN_HOST FloatVector widen_lanes(Int32Vector bits) {
  if constexpr (std::is_same<storage_t, BFloat16>::value) {
    return (FloatVector)(bits << 16);
  } else {  // see widen(Half)
    const Int32Vector magnitude = bits & 0x7fff, sign = (bits & 0x8000) << 16;
    const Int32Vector finite = (magnitude << 13) + (112 << 23);
    const Int32Vector normal = select(magnitude < 0x7c00, finite, finite + (112 << 23));
    const auto subnormal = (Int32Vector)(__builtin_convertvector(magnitude, FloatVector) * 5.9604644775390625e-8f);  // 2^-24
    return (FloatVector)(sign | select(magnitude < 0x400, subnormal, normal));
  }
}

template <typename storage_t, typename scalar_t>
STN_HOST void copy_in(const storage_t* from, int64_t stride, int count, scalar_t* to) {
  if (stride == 1) {  // apart, so that it is vectors that are copied
    for (int i = 0; i < count; ++i) to[i] = widen(from[i]);
  } else {
    for (int i = 0; i < count; ++i) to[i] = widen(from[i * stride]);
  }
}

template <typename storage_t, typename scalar_t>
STN_HOST void copy_out(const scalar_t* from, int count, storage_t* to, int64_t stride) {
  if (stride == 1) {
    for (int i = 0; i < count; ++i) to[i] = narrow<storage_t>(from[i]);
  } else {
    for (int i = 0; i < count; ++i) to[i * stride] = narrow<storage_t>(from[i]);
  }
}

/// `count` elements of one channel, widened.
template <typename scalar_t>
STN_HOST void load_row(const Rows& rows, int channel, int count, scalar_t* to) {
  with_storage<scalar_t>(rows.dtype,
                         [&](auto zero) { copy_in(rows.row<const decltype(zero)>(channel), rows.stride, count, to); });
}

template <typename scalar_t>
STN_HOST void store_row(const scalar_t* from, const Rows& rows, int channel, int count) {
  with_storage<scalar_t>(rows.dtype, [&](auto zero) { copy_out(from, count, rows.row<decltype(zero)>(channel), rows.stride); });
}

/// store_row past the caches, where it can be: whole lines of memory only, or each half of one would be written by itself.
template <typename scalar_t>
STN_HOST void stream_row(const scalar_t* from, const Rows& rows, int channel, int count) {
  using vector_t = vector_of<scalar_t>;
  const auto bytes = static_cast<uintptr_t>(count) * sizeof(scalar_t);
  scalar_t* to = rows.row<scalar_t>(channel);
  if (!rows.is_plain() || rows.stride != 1 || (bytes | reinterpret_cast<uintptr_t>(to)) % 64 != 0) {
    return store_row(from, rows, channel, count);
  }
  for (int i = 0; i < count; i += kLanes<vector_t>) stream_lanes(to + i, load_lanes<vector_t>(from + i));
}

/// Calls body(an element, channels) where all that is between a location and the next are its channels, and those few, known to
/// the compiler: elements are then moved as vectors. Returns whether it did.
template <typename scalar_t, typename Body>
STN_HOST bool with_channels_side_by_side(const Rows& rows, int channels, Body&& body) {
  if (rows.channel_stride != 1 || rows.stride != channels || (channels != 3 && channels != 4)) return false;
  with_storage<scalar_t>(rows.dtype, [&](auto zero) {
    if (channels == 3) {
      body(zero, std::integral_constant<int, 3>{});
    } else {
      body(zero, std::integral_constant<int, 4>{});
    }
  });
  return true;
}

/// `count` elements of each of some channels, widened.
template <typename scalar_t>
STN_HOST void load_rows(const Rows& rows, int channels, int count, PlaneRows<scalar_t>& to) {
  const bool done = with_channels_side_by_side<scalar_t>(rows, channels, [&](auto zero, auto few) {
    constexpr int kChannels = decltype(few)::value;
    const auto* from = rows.row<const decltype(zero)>(0);
    for (int i = 0; i < count; ++i) {
      STN_UNROLL
      for (int k = 0; k < kChannels; ++k) to[k][i] = widen(from[i * kChannels + k]);
    }
  });
  for (int k = 0; !done && k < channels; ++k) load_row(rows, k, count, to[k]);
}

/// ... narrowed, past the caches if `streams`.
template <typename scalar_t>
STN_HOST void store_rows(const PlaneRows<scalar_t>& from, const Rows& rows, int channels, int count, bool streams = false) {
  const bool done = with_channels_side_by_side<scalar_t>(rows, channels, [&](auto zero, auto few) {
    constexpr int kChannels = decltype(few)::value;
    auto* to = rows.row<decltype(zero)>(0);
    for (int i = 0; i < count; ++i) {
      STN_UNROLL
      for (int k = 0; k < kChannels; ++k) to[i * kChannels + k] = narrow<decltype(zero)>(from[k][i]);
    }
  });
  for (int k = 0; !done && k < channels; ++k)
    streams ? stream_row(from[k], rows, k, count) : store_row(from[k], rows, k, count);
}

}  // namespace stn::cpu
