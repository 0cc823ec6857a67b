#pragma once
#include "params.h"

namespace stn {

/// A FillGradientCall as the kernels of one instantiation see it.
template <typename storage_t, typename index_t_>
struct FillGradientParams {
  using scalar_t = accumulate_t<storage_t>;
  using index_t = index_t_;

  Locations<storage_t, index_t> grad_output;
  Locations<scalar_t, index_t> weight;
  Channels<scalar_t, index_t> grad_fill;
  index_t batch, channels, locations, fill_batch;

  STN_HOST explicit FillGradientParams(const FillGradientCall& call)
      : grad_output(call.grad_output),
        weight(call.weight),
        grad_fill(call.grad_fill),
        batch(static_cast<index_t>(call.batch)),
        channels(static_cast<index_t>(call.channels)),
        locations(static_cast<index_t>(call.locations)),
        fill_batch(static_cast<index_t>(call.fill_batch)) {}

  /// What a visitor of the fill value [m, c] sums: its share of the locations, `first` and every `step`-th from there. A double
  /// for every dtype, because the sum runs over all locations.
  STN_HOST_DEVICE double sum(index_t m, index_t c, index_t first, index_t step) const {
    double total = 0;
    for (index_t n = m; n < batch; n += fill_batch) {
      for (index_t location = first; location < locations; location += step) {
        const scalar_t share = weight.load(n, 0, location);
        if (share != scalar_t(0)) total += double(share) * double(grad_output.load(n, c, location));
      }
    }
    return total;
  }
};

}  // namespace stn
