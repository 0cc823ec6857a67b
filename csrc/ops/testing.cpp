// Operators that only tests call.
#include "backend.h"

STABLE_TORCH_LIBRARY_FRAGMENT(stn_cuda, m) {
  m.def("_use_instruction_set(int index) -> int");
#if defined(STN_WITH_CUDA) || defined(STN_EMULATED)
  m.def("_use_index_limit(int limit) -> int");
#endif
}

STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CompositeExplicitAutograd, m) {
  m.impl("_use_instruction_set", TORCH_BOX(&stn::cpu::use_instruction_set));
#if defined(STN_WITH_CUDA) || defined(STN_EMULATED)
  m.impl("_use_index_limit", TORCH_BOX(&stn::cuda::use_index_limit));
#endif
}
