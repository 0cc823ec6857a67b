// The kernels for float64 images.
#include "launchers.cuh"

namespace stn::cuda {
const Kernels kKernelsDouble = kKernelsOf<double>;
}
