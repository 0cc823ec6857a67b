#pragma once
#include "../core/call.h"

// The CPU backend: every operator on dense host memory, on torch's thread pool.

namespace stn::cpu {

void grid_sample(const SampleCall& call);
/// Writes grad_input, which is dense, and grad_grid, each where its data is not nullptr.
void grid_sample_backward(const SampleCall& call);

/// How many bytes a backward of this call, with all of its arrays, wants at call.scratch. Sets call.threads, on which that
/// depends.
int64_t grid_sample_scratch(SampleCall& call);

/// Writes grad_grad_output, grad_input and grad_grid, each where its data is not nullptr. With grad_grad_output
/// alone it is the tangent of the output (jvp).
void grid_sample_double_backward(const SampleCall& call);

void fill_gradient(const FillGradientCall& call);

void transform_grid(const TransformGridCall& call);
/// Writes grad_flow or grad_theta.
void transform_grid_backward(const TransformGridCall& call);
/// How many doubles the gradient of theta wants at `partial`.
int64_t theta_partials(const SampleCall& call);
int64_t theta_partials(const TransformGridCall& call);

/// For tests: runs the kernels of set `index` of instruction_set.h from now on, those of the best one for -1. Returns how
/// many sets this machine has.
int64_t use_instruction_set(int64_t index);

}  // namespace stn::cpu
