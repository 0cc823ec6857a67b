#pragma once
#include <cmath>

#include "device.h"

// What one thread does by itself, under CUDA's names: atomics, bits, and some arithmetic.

namespace emulation {

template <typename value_t, typename... allowed_t>
constexpr bool kIsOneOf = (std::is_same_v<value_t, allowed_t> || ...);

/// Keeps a parameter out of deduction: CUDA's atomics are overloads, and convert their value to the type of the address.
template <typename value_t>
struct Plain {
  using type = value_t;
};
template <typename value_t>
using plain = typename Plain<value_t>::type;

/// Threads switch at barriers and collectives only, so reading and writing is one step as it stands.
template <typename value_t, typename F>
value_t atomic(value_t* address, const char* name, const Site& site, F&& f) {
  check_aligned(address, sizeof(value_t), name, site);
  count_atomic();
  const value_t before = *address;
  *address = f(before);
  return before;
}

/// Integers wrap around on a GPU, and no sanitizer should complain.
template <typename value_t>
value_t wrapping_add(value_t a, value_t b) {
  if constexpr (std::is_integral_v<value_t>) {
    using unsigned_t = std::make_unsigned_t<value_t>;
    return static_cast<value_t>(static_cast<unsigned_t>(a) + static_cast<unsigned_t>(b));
  } else {
    return a + b;
  }
}

}  // namespace emulation

template <typename value_t>
value_t atomicAdd(value_t* address, emulation::plain<value_t> value, emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, unsigned long long, float, double>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicAdd", site, [&](value_t old) { return emulation::wrapping_add(old, value); });
}

template <typename value_t>
value_t atomicMin(value_t* address, emulation::plain<value_t> value, emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, long long, unsigned long long>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicMin", site, [&](value_t old) { return value < old ? value : old; });
}

template <typename value_t>
value_t atomicMax(value_t* address, emulation::plain<value_t> value, emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, long long, unsigned long long>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicMax", site, [&](value_t old) { return value > old ? value : old; });
}

template <typename value_t>
value_t atomicOr(value_t* address, emulation::plain<value_t> value, emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, unsigned long long>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicOr", site, [&](value_t old) { return old | value; });
}

template <typename value_t>
value_t atomicAnd(value_t* address, emulation::plain<value_t> value, emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, unsigned long long>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicAnd", site, [&](value_t old) { return old & value; });
}

template <typename value_t>
value_t atomicExch(value_t* address, emulation::plain<value_t> value, emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, unsigned long long, float>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicExch", site, [&](value_t) { return value; });
}

template <typename value_t>
value_t atomicCAS(value_t* address, emulation::plain<value_t> expected, emulation::plain<value_t> value,
                  emulation::Site site = emulation::Site::here()) {
  static_assert(emulation::kIsOneOf<value_t, int, unsigned, unsigned short, unsigned long long>, "CUDA has no such overload");
  return emulation::atomic(address, "atomicCAS", site, [&](value_t old) { return old == expected ? value : old; });
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }  // from 1; 0 where no bit is set
inline int __clz(int bits) { return bits ? __builtin_clz(static_cast<unsigned>(bits)) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t(a) * b >> 32); }

inline float __int_as_float(int bits) { return emulation::from_bits<float>(emulation::to_bits(bits)); }
inline float __uint_as_float(unsigned bits) { return emulation::from_bits<float>(bits); }
inline int __float_as_int(float value) { return emulation::from_bits<int>(emulation::to_bits(value)); }
inline unsigned __float_as_uint(float value) { return emulation::from_bits<unsigned>(emulation::to_bits(value)); }
inline double __longlong_as_double(long long bits) { return emulation::from_bits<double>(emulation::to_bits(bits)); }
inline long long __double_as_longlong(double value) { return emulation::from_bits<long long>(emulation::to_bits(value)); }

/// Through the read-only cache.
template <typename value_t>
value_t __ldg(const value_t* address) {
  return *address;
}

// One rounding each, and never contracted to an fma. (No compiler flag of this project lets g++ contract for a plain x86-64.)
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }

inline int min(int a, int b) { return b < a ? b : a; }
inline int max(int a, int b) { return a < b ? b : a; }
inline unsigned min(unsigned a, unsigned b) { return b < a ? b : a; }
inline unsigned max(unsigned a, unsigned b) { return a < b ? b : a; }
inline long long min(long long a, long long b) { return b < a ? b : a; }
inline long long max(long long a, long long b) { return a < b ? b : a; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
