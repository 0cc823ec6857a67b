#pragma once
#include "../device_array.h"
#include "emulation.h"

using namespace stn::cuda;

namespace {

constexpr unsigned kAll = ~0u;
constexpr int kCount = 32;  // of the arrays, where nothing else is said

using Kernel = void (*)(float*, int);

/// A kernel with a bug, and the same kernel without.
struct Case {
  const char* name;
  Kernel broken, correct;
  LaunchShape shape = {1, kCount, 0};
};

#define CASE(name) #name, &name##_kernel<true>, &name##_kernel<false>

}  // namespace
