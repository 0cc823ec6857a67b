#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <typeinfo>

#include "emulation.h"
#include "shared_memory.h"

// What CUDA's names (cuda_emulation.h) are made of: the doors from a running kernel to the scheduler.

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulation {

constexpr unsigned kWarpLanes = 32;

/// Of the thread that runs. One launch runs at a time, so this is no business of each host thread.
struct Indices {
  uint3 thread{}, block{};
  dim3 block_dim, grid_dim;
  unsigned lane = 0;  // of its warp
};
inline Indices indices;

enum class Collective : uint8_t { kSyncwarp, kShuffle, kBallot, kMatchAny, kMatchAll };

/// Waits for the block.
void barrier(const Site& site);

/// Waits for the lanes that `mask` names. What it gives, by kind: the value of lane `source`; the lanes whose value isn't 0;
/// the lanes with the same value; `mask` if all values are the same, else 0.
uint64_t collective(Collective kind, const char* name, unsigned mask, uint64_t value, unsigned source, const Site& site);

void* static_shared(const SharedDeclaration& declaration, const Site& site);
void* dynamic_shared();
void count_atomic();

/// Throws a Refusal that says where and who.
[[noreturn]] void refuse(const Site& site, const char* operation, const std::string& what);

inline void check_aligned(const volatile void* address, std::size_t bytes, const char* operation, const Site& site) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  refuse(site, operation, "an address that is not a multiple of " + std::to_string(bytes) + " bytes");
}

/// What registers exchange: 32 or 64 bits.
template <typename value_t>
uint64_t to_bits(value_t value) {
  static_assert(std::is_arithmetic_v<value_t> && (sizeof(value_t) == 4 || sizeof(value_t) == 8), "as CUDA's overloads");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <typename value_t>
value_t from_bits(uint64_t bits) {
  value_t value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// A kernel with its arguments, whatever their types.
struct KernelCall {
  void (*invoke)(const void* arguments);
  const void* arguments;
  const void* function;
  const std::type_info* type;
};

/// What <<<>>> is: a configuration that CUDA refuses leaves its error for cudaGetLastError() and runs nothing.
void run_launch(const KernelCall& call, dim3 grid, dim3 block, std::size_t shared_bytes);

}  // namespace emulation
