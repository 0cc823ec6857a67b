#pragma once
#include <cstddef>
#include <cstdint>

#include "mapping.h"
#include "platform.h"

namespace stn::cuda {

/// How a kernel is spread out: {blocks}, {{columns, rows}, kThreads, shared_bytes}.
struct LaunchShape {
  dim3 blocks;              // at most 2^31 - 1, 65535, 65535
  dim3 threads{kThreads};   // of a block, at most 1024
  size_t shared_bytes = 0;  // dynamic; more than 48 KiB have to be asked for by cudaFuncSetAttribute
};

inline dim3 blocks_of(int64_t blocks) { return dim3(static_cast<unsigned>(blocks)); }

inline LaunchShape shape_of(const Mapping& mapping) { return {blocks_of(mapping.blocks), dim3(mapping.columns, mapping.rows)}; }

/// Of a kernel that visits the locations of `images`.
inline LaunchShape location_shape(const SampleCall& call, int64_t images) {
  Mapping mapping = mapping_for(images * call.locations, call.channels);
  if (call.transform.exist()) mapping.blocks = images * blocks_of_image(call, images);
  return shape_of(mapping);
}

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
