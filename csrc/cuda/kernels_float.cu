// The kernels for float32 images.
#include "launchers.cuh"

namespace stn::cuda {
const Kernels kKernelsFloat = kKernelsOf<float>;
}
