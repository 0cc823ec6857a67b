#include "shared_memory.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define EMULATION_POISON(from, bytes) __asan_poison_memory_region(from, bytes)
#define EMULATION_UNPOISON(from, bytes) __asan_unpoison_memory_region(from, bytes)
#else
#define EMULATION_POISON(from, bytes) static_cast<void>(0)
#define EMULATION_UNPOISON(from, bytes) static_cast<void>(0)
#endif

namespace emulation {
namespace {

constexpr std::size_t kVectorBytes = 16;       // the widest access of a thread
constexpr std::size_t kDynamicAlignment = 16;  // as STN_DYNAMIC_SHARED declares it for nvcc

}  // namespace

SharedArray::SharedArray(std::size_t bytes, std::size_t alignment) : bytes_(bytes) {
  const std::size_t offset = alignment < kVectorBytes ? kVectorBytes / 2 : 0;
  void* allocation = nullptr;
  if (posix_memalign(&allocation, alignment < kVectorBytes ? kVectorBytes : alignment, bytes + offset)) throw std::bad_alloc();
  allocation_ = static_cast<char*>(allocation);
  data_ = allocation_ + offset;
  std::memset(data_, 0xFF, bytes);
  if (offset) EMULATION_POISON(allocation_, offset);
}

SharedArray::SharedArray(SharedArray&& other) noexcept
    : allocation_(std::exchange(other.allocation_, nullptr)), data_(other.data_), bytes_(other.bytes_) {}

SharedArray::~SharedArray() {
  if (allocation_ && data_ != allocation_) EMULATION_UNPOISON(allocation_, data_ - allocation_);
  std::free(allocation_);
}

void SharedMemory::start_block(std::size_t dynamic_bytes) {
  variables_.clear();
  dynamic_.clear();
  static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
}

void* SharedMemory::find(const SharedDeclaration& declaration) const {
  for (const Variable& variable : variables_) {
    if (variable.declaration == &declaration) return variable.array.data();
  }
  return nullptr;
}

void* SharedMemory::add(const SharedDeclaration& declaration) {
  variables_.push_back({&declaration, SharedArray(declaration.bytes, declaration.alignment)});
  static_bytes_ += declaration.bytes;
  return variables_.back().array.data();
}

void* SharedMemory::dynamic() {
  if (dynamic_.empty()) dynamic_.emplace_back(dynamic_bytes_, kDynamicAlignment);
  return dynamic_.front().data();
}

}  // namespace emulation
