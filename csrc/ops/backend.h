#pragma once
#include "../cpu/cpu.h"
#include "checks.h"
#if defined(STN_WITH_CUDA)
#include "../cuda/cuda.h"
#endif

// Which kernels an operator calls, one struct a dispatch key. A backend is made after the arguments are checked and before
// anything is allocated; it lives until the kernels are launched.

namespace stn::ops {

struct CpuBackend {
  explicit CpuBackend(const Tensor&) {}
  void grid_sample(const SampleCall& call) { cpu::grid_sample(call); }
  void grid_sample_backward(const SampleCall& call) { cpu::grid_sample_backward(call); }
  void grid_sample_double_backward(const SampleCall& call) { cpu::grid_sample_double_backward(call); }
  void affine_grid(const AffineGridCall& call) { cpu::affine_grid(call); }
  void affine_grid_backward(const AffineGridCall& call) { cpu::affine_grid_backward(call); }
};

#if defined(STN_WITH_CUDA)
/// The current stream of the tensors' device, and that device made current. Only the forward has a kernel so far: the
/// others are not registered for CUDA.
class CudaBackend {
 public:
  explicit CudaBackend(const Tensor& on);
  void grid_sample(const SampleCall& call) { check(cuda::grid_sample(call, stream_)); }

 private:
  static void check(int error);
  torch::stable::accelerator::DeviceGuard guard_;
  void* stream_;
};
#endif

}  // namespace stn::ops
