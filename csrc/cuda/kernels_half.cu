// The kernels for float16 images.
#include "launchers.cuh"

namespace stn::cuda {
const Kernels kKernelsHalf = kKernelsOf<Half>;
}
