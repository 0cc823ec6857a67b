#pragma once
#include <vector>

#include "../../../../csrc/core/dispatch.h"
#include "../../../../csrc/cuda/launch.h"
#include "../../checks.h"

/// An array of a test in the device's memory: the same text for a GPU and for the host.
template <typename value_t>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<value_t>& values) : count_(values.size()) {
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, count_ * sizeof(value_t)) == cudaSuccess, "%zu values", count_);
    data_ = static_cast<value_t*>(memory);
    cudaMemcpyAsync(data_, values.data(), count_ * sizeof(value_t), cudaMemcpyHostToDevice, nullptr);
  }
  explicit DeviceArray(std::size_t count, value_t value = value_t(0)) : DeviceArray(std::vector<value_t>(count, value)) {}
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  value_t* data() const { return data_; }
  std::vector<value_t> values() const {
    std::vector<value_t> result(count_);
    cudaMemcpyAsync(result.data(), data_, count_ * sizeof(value_t), cudaMemcpyDeviceToHost, nullptr);
    CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess, "after a kernel");
    return result;
  }

 private:
  std::size_t count_;
  value_t* data_ = nullptr;
};

/// Launches a kernel that has to be launchable.
template <typename... params_t, typename... args_t>
void run(void (*kernel)(params_t...), const stn::cuda::LaunchShape& shape, const args_t&... args) {
  const int error = stn::cuda::launch(kernel, shape, nullptr, args...);
  CHECK(error == 0, "%s", cudaGetErrorString(static_cast<cudaError_t>(error)));
}
