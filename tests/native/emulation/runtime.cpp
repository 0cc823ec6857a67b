#include "runtime.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace {

thread_local cudaError_t last_error = cudaSuccess;

std::mutex opted_mutex;
std::map<const void*, std::size_t> opted;  // kernels that asked for more shared memory, with what they asked for

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace

namespace emulation {

std::size_t shared_limit(const void* kernel) {
  const std::lock_guard<std::mutex> lock(opted_mutex);
  const auto found = opted.find(kernel);
  return found == opted.end() || found->second < kSharedBytes ? kSharedBytes : found->second;
}

void set_last_error(cudaError_t error) { last_error = error; }

}  // namespace emulation

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes) std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  if (bytes) std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (posix_memalign(pointer, kAlignment, bytes)) return result(cudaErrorMemoryAllocation);
  std::memset(*pointer, 0xFF, bytes);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t) { return cudaMalloc(pointer, bytes); }

cudaError_t cudaFree(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) { return cudaFree(pointer); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrWarpSize:
      *value = emulation::kWarpLanes;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = 4;  // few, so that a loop over more blocks than fit is gone through more than once
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 1024;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 7;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 5;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = emulation::kSharedBytes;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = emulation::kSharedBytesOptin;
      return cudaSuccess;
  }
  return result(cudaErrorInvalidValue);
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;  // a hint
  if (value < 0 || static_cast<std::size_t>(value) > emulation::kSharedBytesOptin) return result(cudaErrorInvalidValue);
  const std::lock_guard<std::mutex> lock(opted_mutex);
  opted[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
