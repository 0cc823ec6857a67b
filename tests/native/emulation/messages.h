#pragma once
#include <cstdio>
#include <cstring>
#include <string>

#include "device.h"

// How refusals name places, indices and lanes.

namespace emulation {

inline bool same(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);  // a header's name may exist twice
}

inline std::string text(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }

template <typename index_t>  // uint3, dim3
std::string text(const index_t& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

inline std::string hexadecimal(unsigned mask) {
  char digits[11];
  std::snprintf(digits, sizeof digits, "0x%08x", mask);
  return digits;
}

/// Of the thread with that number in its block.
inline uint3 thread_index(unsigned thread, const dim3& block) {
  if (block.y == 1 && block.z == 1) return {thread, 0, 0};
  return {thread % block.x, thread / block.x % block.y, thread / block.x / block.y};
}

}  // namespace emulation
