#pragma once
#include <algorithm>
#include <cstdint>

// What csrc/cpu asks of torch, on the calling thread, for programs without torch: pieces as several threads would have them,
// the last one first, because none may depend on another.

namespace torch::stable {

inline int64_t threads = 1, calls = 0;

inline uint32_t get_num_threads() { return static_cast<uint32_t>(threads); }

template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  ++calls;
  const int64_t pieces = std::clamp<int64_t>((end - begin) / std::max<int64_t>(1, grain), 1, threads);
  for (int64_t piece = pieces; piece-- > 0;) {
    f(begin + (end - begin) * piece / pieces, begin + (end - begin) * (piece + 1) / pieces);
  }
}

}  // namespace torch::stable
