#pragma once
#include <cstddef>
#include <vector>

namespace emulation {

/// Memory as a kernel may expect of shared memory and no better: exactly so many bytes, for AddressSanitizer to watch over
/// both ends; filled with 0xFF, which is NaN or -1; and aligned as its type asks. An array of floats that happens to be
/// aligned to 16 bytes would let a vector access pass here that a GPU refuses another day: types that ask for less than 16
/// get an address that is 8 off.
class SharedArray {
 public:
  SharedArray(std::size_t bytes, std::size_t alignment);
  ~SharedArray();
  SharedArray(SharedArray&& other) noexcept;
  SharedArray& operator=(SharedArray&&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  char* allocation_;
  char* data_;
  std::size_t bytes_;
};

/// A variable in shared memory, as its declaration names it; the address of this object is its identity.
struct SharedDeclaration {
  const char* name;
  std::size_t bytes, alignment;
};

/// The shared memory of one block.
class SharedMemory {
 public:
  /// The launch's dynamic bytes.
  void start_block(std::size_t dynamic_bytes);

  void* find(const SharedDeclaration& declaration) const;  // nullptr where this block hasn't come to it yet
  void* add(const SharedDeclaration& declaration);
  void* dynamic();

  std::size_t static_bytes() const { return static_bytes_; }
  std::size_t dynamic_bytes() const { return dynamic_bytes_; }

 private:
  struct Variable {
    const SharedDeclaration* declaration;
    SharedArray array;
  };
  std::vector<Variable> variables_;
  std::vector<SharedArray> dynamic_;  // none or one
  std::size_t static_bytes_ = 0, dynamic_bytes_ = 0;
};

}  // namespace emulation
