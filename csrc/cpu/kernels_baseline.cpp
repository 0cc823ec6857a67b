// The kernels for the compiler's own target: the sets of the other files are chosen where the machine has them.
#include "table.inl"

namespace stn::cpu {
const Kernels kKernelsBaseline = all_kernels();
}
