#pragma once
#include "call.h"
#include "storage.h"

namespace stn {

// A call's arrays, typed: what kernels index.

/// [N, C, *in], typed.
template <int kDims, typename element_t, typename index_t>
struct Image {
  element_t* data;
  index_t batch_stride, channel_stride;
  index_t axis_stride[kDims];

  STN_HOST explicit Image(const ImageArray& array)
      : data(static_cast<element_t*>(array.data)),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.channel_stride)) {
    for (int e = 0; e < kDims; ++e) axis_stride[e] = static_cast<index_t>(array.axis_stride[e]);
  }

  STN_HOST_DEVICE element_t* plane(index_t n, index_t c) const { return data + n * batch_stride + c * channel_stride; }
};

/// [N, C, P], typed. A 16-bit one may be widened, by a branch on the call: nobody wants twice the kernels for it.
template <typename storage_t, typename index_t>
struct Locations {
  using scalar_t = accumulate_t<storage_t>;
  static constexpr bool kMayBeWidened = !std::is_same<storage_t, scalar_t>::value;

  void* data;
  index_t batch_stride, channel_stride, location_stride;
  bool widened;

  STN_HOST explicit Locations(const LocationArray& array)
      : data(array.data),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.component_stride)),
        location_stride(static_cast<index_t>(array.location_stride)),
        widened(array.widened) {}

  STN_HOST_DEVICE scalar_t load(index_t n, index_t c, index_t location) const {
    const index_t at = offset(n, c, location);
    if (kMayBeWidened && widened) return static_cast<const scalar_t*>(data)[at];
    return widen(static_cast<const storage_t*>(data)[at]);
  }

  STN_HOST_DEVICE void store(index_t n, index_t c, index_t location, scalar_t value) const {
    const index_t at = offset(n, c, location);
    if (kMayBeWidened && widened) {
      static_cast<scalar_t*>(data)[at] = value;
    } else {
      static_cast<storage_t*>(data)[at] = narrow<storage_t>(value);
    }
  }

  STN_HOST_DEVICE index_t offset(index_t n, index_t c, index_t location) const {
    return n * batch_stride + c * channel_stride + location * location_stride;
  }
};

/// [N, C], typed.
template <typename scalar_t, typename index_t>
struct Channels {
  scalar_t* data;
  index_t batch_stride, channel_stride;

  STN_HOST explicit Channels(const ChannelArray& array)
      : data(static_cast<scalar_t*>(array.data)),
        batch_stride(static_cast<index_t>(array.batch_stride)),
        channel_stride(static_cast<index_t>(array.channel_stride)) {}

  STN_HOST_DEVICE scalar_t& at(index_t n, index_t c) const { return data[n * batch_stride + c * channel_stride]; }
};

}  // namespace stn
