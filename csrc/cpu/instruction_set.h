#pragma once

namespace stn::cpu {

/// The sets that the kernels are compiled for, each a superset of the one before. Elsewhere than on x86-64 there is only the
/// first, which is the compiler's default target.
inline constexpr const char* kInstructionSets[] = {"baseline", "avx2", "avx512"};

/// Index of the best set that this machine runs.
inline int best_instruction_set() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
      !__builtin_cpu_supports("bmi2"))
    return 0;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return avx512 ? 2 : 1;
#else
  return 0;
#endif
}

}  // namespace stn::cpu
