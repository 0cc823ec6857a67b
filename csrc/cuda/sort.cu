// The only place that knows CUB; for the host there is std::stable_sort in its place.
#include "sort.h"

#if defined(__CUDACC__)
#include <cub/device/device_radix_sort.cuh>
#else
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>
#endif

namespace stn::cuda {

#if defined(__CUDACC__)
// With a DoubleBuffer CUB passes the pairs to and fro, and wants no third array of its own.
template <typename index_t>
static cudaError_t radix_sort(SortedPairs<index_t>& pairs, index_t count, int bits, void* temporary, std::size_t& bytes,
                              cudaStream_t stream) {
  cub::DoubleBuffer<typename SortedPairs<index_t>::key_t> keys(pairs.keys[0], pairs.keys[1]);
  cub::DoubleBuffer<index_t> values(pairs.values[0], pairs.values[1]);
  const cudaError_t error = cub::DeviceRadixSort::SortPairs(temporary, bytes, keys, values, count, 0, bits, stream);
  pairs = {{keys.Current(), keys.Alternate()}, {values.Current(), values.Alternate()}};
  return error;
}

template <typename index_t>
int sort_pairs(SortedPairs<index_t>& pairs, index_t count, int bits, void* temporary, std::size_t temporary_bytes,
               void* stream) {
  return radix_sort(pairs, count, bits, temporary, temporary_bytes, static_cast<cudaStream_t>(stream));
}

template <typename index_t>
int sort_temporary_bytes(index_t count, int bits, std::size_t& bytes) {
  SortedPairs<index_t> none{};
  return radix_sort(none, count, bits, nullptr, bytes, nullptr);
}
#else
/// Like CUB's sort it looks at the lowest bits only, writes all of its temporary memory and leaves nothing of use in the arrays
/// that it doesn't return; it ends in the others always, so that nobody counts on the first.
template <typename index_t>
int sort_pairs(SortedPairs<index_t>& pairs, index_t count, int bits, void* temporary, std::size_t temporary_bytes, void*) {
  using key_t = typename SortedPairs<index_t>::key_t;
  std::vector<std::pair<key_t, index_t> > sorted(count);
  for (index_t i = 0; i < count; ++i) sorted[i] = {pairs.keys[0][i], pairs.values[0][i]};
  const key_t mask = bits < int(8 * sizeof(key_t)) ? (key_t(1) << bits) - 1 : ~key_t(0);
  std::stable_sort(sorted.begin(), sorted.end(), [=](auto& a, auto& b) { return (a.first & mask) < (b.first & mask); });
  for (index_t i = 0; i < count; ++i) {
    pairs.keys[1][i] = sorted[i].first, pairs.values[1][i] = sorted[i].second;
    pairs.keys[0][i] = ~key_t(0), pairs.values[0][i] = -1;
  }
  std::memset(temporary, 0xff, temporary_bytes);
  std::swap(pairs.keys[0], pairs.keys[1]);
  std::swap(pairs.values[0], pairs.values[1]);
  return 0;
}

template <typename index_t>
int sort_temporary_bytes(index_t, int, std::size_t& bytes) {
  bytes = 1000;  // no multiple of anything
  return 0;
}
#endif

template int sort_pairs(SortedPairs<int32_t>&, int32_t, int, void*, std::size_t, void*);
template int sort_pairs(SortedPairs<int64_t>&, int64_t, int, void*, std::size_t, void*);
template int sort_temporary_bytes(int32_t, int, std::size_t&);
template int sort_temporary_bytes(int64_t, int, std::size_t&);

}  // namespace stn::cuda
