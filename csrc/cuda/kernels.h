#pragma once
#include "../core/call.h"

namespace stn::cuda {

/// The kernels for images stored in one dtype, behind their launchers: each chooses mapping, index width and instantiation.
/// Results are a cudaError_t as int.
struct Kernels {
  int (*forward)(const SampleCall&, void* stream);
  int (*backward)(const SampleCall&, void* stream);         // adds to grad_input by atomics
  int (*double_backward)(const SampleCall&, void* stream);  // likewise
  // What sorts locations, of a call that wants grad_input alone; keys and values are as wide as largest_sorted_index() asks
  // for. Absent for 16-bit images, which take those of float.
  int (*location_keys)(const SampleCall&, int sort, void* keys, void* values, void* stream);
  int (*sorted_grad_input)(const SampleCall&, void* stream);  // grad_input alone, in a fixed order
  int (*sorted_second_grad_input)(const SampleCall&, void* stream);
  int (*fill_gradient)(const FillGradientCall&, void* stream);
  int (*gather_grad_input)(const SampleCall&, void* stream);  // grad_input alone, of a theta's call: writes every element
  int (*transform_grid)(const TransformGridCall&, void* stream);
  int (*transform_grid_backward)(const TransformGridCall&, void* stream);  // but for the second stage of theta's gradient
  // The second stage of theta's gradient, after `blocks` partial sums an image; in the dtype of grad_theta
  int (*theta_sums)(const TransformArrays&, int64_t batch, int64_t blocks, void* stream);
};

extern const Kernels kKernelsHalf, kKernelsBFloat16, kKernelsFloat, kKernelsDouble;

/// From this many elements on a call takes 64-bit indices: as far as int32_t goes, with room for taps and idle threads.
int64_t index_limit();

}  // namespace stn::cuda
