// An operator that only tests call.
#include "backend.h"

STABLE_TORCH_LIBRARY_FRAGMENT(stn_cuda, m) { m.def("_use_instruction_set(int index) -> int"); }

STABLE_TORCH_LIBRARY_IMPL(stn_cuda, CompositeExplicitAutograd, m) {
  m.impl("_use_instruction_set", TORCH_BOX(&stn::cpu::use_instruction_set));
}
