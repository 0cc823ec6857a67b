// The Python module: what was built, and the names of modes. The operators are a library of their own, without Python.
#include <pybind11/pybind11.h>

#include "core/padding.h"
#include "cpu/instruction_set.h"

namespace {

template <typename enum_t, size_t kCount>
pybind11::dict table_of(const stn::Named<enum_t> (&list)[kCount]) {
  pybind11::dict table;
  for (const auto& entry : list) table[entry.name] = static_cast<int>(entry.value);
  return table;
}

pybind11::dict paddings_with_fill() {
  pybind11::dict table;
  for (const auto& entry : stn::kPaddingModes) table[entry.name] = stn::fill_rule(entry.value) != stn::Fill::kNothing;
  return table;
}

pybind11::dict build_info() {
  pybind11::dict info;
  info["version"] = STN_VERSION;
  info["commit"] = STN_COMMIT;
  info["torch_built_against"] = STN_TORCH;
  info["torch_minimum"] = STN_TORCH_MINIMUM;
  info["compiler"] = STN_COMPILER;
  info["cuda"] = sizeof(STN_CUDA) > 1 ? pybind11::object(pybind11::str(STN_CUDA)) : pybind11::none();
  info["cuda_archs"] = STN_CUDA_ARCHS;
  info["instruction_set"] = stn::cpu::kInstructionSets[stn::cpu::best_instruction_set()];
  return info;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.attr("INTERPOLATION_MODES") = table_of(stn::kInterpolationModes);
  m.attr("PADDING_MODES") = table_of(stn::kPaddingModes);
  m.attr("COORDINATE_CONVENTIONS") = table_of(stn::kCoordinateConventions);
  m.attr("TRANSFORM_KINDS") = table_of(stn::kTransformKinds);
  m.attr("PADDING_TAKES_FILL") = paddings_with_fill();
  m.def("build_info", &build_info);
}
