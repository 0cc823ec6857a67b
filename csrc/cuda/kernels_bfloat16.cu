// The kernels for bfloat16 images.
#include "launchers.cuh"

namespace stn::cuda {
const Kernels kKernelsBFloat16 = kKernelsOf<BFloat16>;
}
