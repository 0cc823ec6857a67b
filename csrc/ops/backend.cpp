#include "backend.h"

#if defined(STN_WITH_CUDA)
#include <dlfcn.h>

namespace stn::ops {

/// The stable ABI hands a stream's handle out only from torch 2.13 on, so the function below it is looked up in the library
/// that has it: the library of a CPU-only torch doesn't exist, and this one must load there too.
void* current_stream(int32_t device) {
  using function_t = int32_t (*)(int32_t device, void** stream);
  static const function_t function = [] {
    void* library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
    return library ? reinterpret_cast<function_t>(dlsym(library, "aoti_torch_get_current_cuda_stream")) : nullptr;
  }();
  void* stream = nullptr;
  if (!function || function(device, &stream) != 0) {
    throw std::runtime_error("stn_cuda: a CUDA tensor, but this PyTorch does not tell its current CUDA stream");
  }
  return stream;
}

}  // namespace stn::ops
#endif
