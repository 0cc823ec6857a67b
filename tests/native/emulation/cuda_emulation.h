#pragma once
#include <cmath>
#include <tuple>

#include "collectives.h"
#include "intrinsics.h"
#include "runtime.h"

// CUDA C++ for a compiler that knows none: kernels and launchers include this through csrc/cuda/platform.h, with this folder
// on the include path, and run on the host. README.md says what is modelled and what is not. What is missing here doesn't
// compile, and that is meant: plain __shared__ (STN_SHARED is watched over), cooperative groups, textures, PTX.

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

inline const uint3& threadIdx = emulation::indices.thread;
inline const uint3& blockIdx = emulation::indices.block;
inline const dim3& blockDim = emulation::indices.block_dim;
inline const dim3& gridDim = emulation::indices.grid_dim;
inline constexpr int warpSize = emulation::kWarpLanes;

// STN_SHARED and STN_DYNAMIC_SHARED of platform.h. The declaration is an object with an address of its own in each
// instantiation of a kernel, as a __shared__ variable is.
#define EMULATION_SHARED(type, name, extents)                                                                         \
  static const ::emulation::SharedDeclaration name##_declaration{#name, sizeof(type extents), alignof(type extents)}; \
  auto& name = ::emulation::shared_variable<type extents>(name##_declaration)
#define EMULATION_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::emulation::dynamic_shared())

namespace emulation {

template <typename variable_t>
variable_t& shared_variable(const SharedDeclaration& declaration, const Site& site = Site::here()) {
  return *static_cast<variable_t*>(static_shared(declaration, site));
}

/// kernel<<<grid, block, shared_bytes>>>(args...). Arguments are copied once a launch, as CUDA does it.
template <typename... params_t, typename... args_t>
void launch(void (*kernel)(params_t...), dim3 grid, dim3 block, std::size_t shared_bytes, const args_t&... args) {
  const std::tuple<void (*)(params_t...), params_t...> call(kernel, args...);
  const auto invoke = [](const void* arguments) {
    std::apply([](auto function, const auto&... values) { function(values...); }, *static_cast<decltype(&call)>(arguments));
  };
  run_launch({invoke, &call, reinterpret_cast<const void*>(kernel), &typeid(*kernel)}, grid, block, shared_bytes);
}

}  // namespace emulation
