#pragma once
#include <cstddef>
#include <cstdint>

#include "platform.h"

namespace stn::cuda {

constexpr int kThreads = 256;

/// Blocks of kThreads for one thread a location. A launch takes 2^31 - 1 of them: 5e11 locations, beyond any memory.
inline unsigned blocks_for(int64_t locations) { return static_cast<unsigned>((locations + kThreads - 1) / kThreads); }

/// How a kernel is spread out: {blocks}, {{columns, rows}, kThreads, shared_bytes}.
struct LaunchShape {
  dim3 blocks;              // at most 2^31 - 1, 65535, 65535
  dim3 threads{kThreads};   // of a block, at most 1024
  size_t shared_bytes = 0;  // dynamic; more than 48 KiB have to be asked for by cudaFuncSetAttribute
};

/// The only place that launches a kernel. Returns a cudaError_t as int.
template <typename... params_t, typename... args_t>
int launch(void (*kernel)(params_t...), const LaunchShape& shape, void* stream, const args_t&... args) {
#if defined(__CUDACC__)
  kernel<<<shape.blocks, shape.threads, shape.shared_bytes, static_cast<cudaStream_t>(stream)>>>(args...);
#else
  static_cast<void>(stream);  // the host's are always done
  emulation::launch(kernel, shape.blocks, shape.threads, shape.shared_bytes, args...);
#endif
  return static_cast<int>(cudaGetLastError());
}

}  // namespace stn::cuda
