#pragma once
#include "../core/call.h"

// The CUDA backend behind plain C++: operators include this beside torch's headers, kernels see neither. Tensors are on the
// current device. Results are a cudaError_t as int; 0 is success.

namespace stn::cuda {

int grid_sample(const SampleCall& call, void* stream);

/// Several locations may add to one pixel of grad_input, by atomics and in any order; or, if `deterministic`, in an order that
/// the call alone decides, after a sort of the locations, with scratch memory. Everything else has the same bits always. (So
/// for the double backward.)
int grid_sample_backward(const SampleCall& call, bool deterministic, void* stream);
int grid_sample_double_backward(const SampleCall& call, bool deterministic, void* stream);
/// How many bytes both want at call.scratch, for a call with all of its arrays.
int grid_sample_scratch(const SampleCall& call, bool deterministic, int64_t& bytes);

int fill_gradient(const FillGradientCall& call, void* stream);

int affine_grid(const AffineGridCall& call, void* stream);
int affine_grid_backward(const AffineGridCall& call, void* stream);
/// How many doubles affine_grid_backward wants in call.partial.
int64_t affine_grid_partials(const AffineGridCall& call);

const char* error_string(int error);

/// For tests: from this many elements on, a call takes 64-bit indices; 0 for the product's own limit. Returns what it was.
int64_t use_index_limit(int64_t limit);

}  // namespace stn::cuda
