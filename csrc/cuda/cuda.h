#pragma once
#include "../core/call.h"

// The CUDA backend behind plain C++: operators include this beside torch's headers, kernels see neither. Tensors are on the
// current device. Results are a cudaError_t as int; 0 is success.

namespace stn::cuda {

int grid_sample(const SampleCall& call, void* stream);

/// Several locations may add to one pixel of grad_input, by atomics and in any order; or, if `deterministic`, in an order that
/// the call alone decides, after a sort of the locations, with scratch memory; by a theta it is gathered, and grad_input needs
/// no zeros. Everything else has the same bits always. (So for the double backward, which knows no transforms.)
int grid_sample_backward(const SampleCall& call, bool deterministic, void* stream);
int grid_sample_double_backward(const SampleCall& call, bool deterministic, void* stream);
/// How many bytes both want at call.scratch, for a call with all of its arrays.
int grid_sample_scratch(const SampleCall& call, bool deterministic, int64_t& bytes);

int fill_gradient(const FillGradientCall& call, void* stream);

int transform_grid(const TransformGridCall& call, void* stream);
/// Writes grad_flow or grad_theta.
int transform_grid_backward(const TransformGridCall& call, void* stream);
/// How many doubles the gradient of theta wants at `partial`.
int64_t theta_partials(const SampleCall& call);
int64_t theta_partials(const TransformGridCall& call);

/// Whether grid_sample_backward can do a transform's call. If not, grad_input wants the call with the transform's grid.
bool can_transform_backward(const SampleCall& call, bool deterministic);

const char* error_string(int error);

/// For tests: from this many elements on, a call takes 64-bit indices; 0 for the product's own limit. Returns what it was.
int64_t use_index_limit(int64_t limit);

}  // namespace stn::cuda
