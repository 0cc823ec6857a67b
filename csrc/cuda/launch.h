#pragma once
#include <cstdint>

#include "platform.h"

namespace stn::cuda {

constexpr int kThreads = 256;

/// Blocks of kThreads for one thread a location. A launch takes 2^31 - 1 of them: 5e11 locations, beyond any memory.
inline unsigned blocks_for(int64_t locations) { return static_cast<unsigned>((locations + kThreads - 1) / kThreads); }

/// The only place that launches a kernel. Returns a cudaError_t as int.
template <typename... params_t, typename... args_t>
int launch(void (*kernel)(params_t...), unsigned blocks, void* stream, const args_t&... args) {
  kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args...);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace stn::cuda
