#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace stn::cuda {

/// Pairs of a key and a value. A sort moves them between two arrays each: [0] has them before and after, [1] is its own.
template <typename index_t>
struct SortedPairs {
  using key_t = std::make_unsigned_t<index_t>;
  key_t* keys[2];
  index_t* values[2];
};

/// Sorts by the lowest `bits` bits of the keys, the others being 0; pairs of one key stay in their order. It swaps the arrays
/// where the sorted pairs end in the others, which the host knows without waiting. A cudaError_t as int.
template <typename index_t>
int sort_pairs(SortedPairs<index_t>& pairs, index_t count, int bits, void* temporary, std::size_t temporary_bytes,
               void* stream);

/// The bytes of `temporary` that a sort wants on the current device.
template <typename index_t>
int sort_temporary_bytes(index_t count, int bits, std::size_t& bytes);

}  // namespace stn::cuda
