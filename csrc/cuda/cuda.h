#pragma once
#include "../core/call.h"

// The CUDA backend behind plain C++: operators include this beside torch's headers, kernels see neither. Tensors are on the
// current device. Results are a cudaError_t as int; 0 is success.

namespace stn::cuda {

int grid_sample(const SampleCall& call, void* stream);

const char* error_string(int error);

}  // namespace stn::cuda
