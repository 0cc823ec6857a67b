#pragma once

// What kernels include instead of a CUDA header: the one place that knows which compiler is at work.

#if !defined(__CUDACC__)
#error "csrc/cuda is compiled by nvcc"
#endif
#include <cuda_runtime.h>
