// The kernels of float32 images with STN_FEW_KERNELS axes alone, in the place of all kernels_<dtype>.cu: for tools/mutate.py,
// which compiles them anew for each of many mutants.
#include "../../../../csrc/core/dispatch.h"

namespace stn {
template <typename F>
STN_HOST void dispatch_few_dims(int dims, F&& f) {
  if (dims != STN_FEW_KERNELS) throw std::invalid_argument("a number of spatial axes that is not built");
  f(std::integral_constant<int, STN_FEW_KERNELS>{});
}
}  // namespace stn

#define dispatch_dims dispatch_few_dims
#include "../../../../csrc/cuda/launchers.cuh"

namespace stn::cuda {
const Kernels kKernelsHalf{}, kKernelsBFloat16{}, kKernelsDouble{}, kKernelsFloat = kKernelsOf<float>;
}
