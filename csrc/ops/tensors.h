#pragma once
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "../core/call.h"

// torch's tensors as the backends' plain arrays, and the other way round.

namespace stn::ops {

using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;
using Sizes = std::vector<int64_t>;

template <typename... parts_t>
std::string join(const parts_t&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// Sizes as messages have them: text only where one is written, because that costs more than the check before it.
struct SizesText {
  const int64_t* sizes;
  size_t count;
};
std::ostream& operator<<(std::ostream& stream, const SizesText& text);
inline SizesText text_of(const Sizes& sizes) { return {sizes.data(), sizes.size()}; }
inline SizesText text_of(const Tensor& tensor) { return {tensor.sizes().data(), tensor.sizes().size()}; }

inline Sizes sizes_of(const Tensor& tensor) { return {tensor.sizes().begin(), tensor.sizes().end()}; }

using torch::headeronly::MemoryFormat;

/// channels_last or contiguous, by torch's own rule for strides (suggest_memory_format): results follow their input.
MemoryFormat memory_format_of(const Tensor& tensor);
/// The same for a result of that many dims: channels_last is there for 4 and 5.
MemoryFormat memory_format_of(const Tensor& tensor, int64_t result_dims);

using DType = torch::headeronly::ScalarType;

/// What a dtype is computed in: float32 for those of 16 bits.
DType accumulate_dtype(DType dtype);

/// Uninitialised or zeroed, dense, on the device of `like`. Throws std::runtime_error where memory is short, as torch.
Tensor allocate(const Tensor& like, DType dtype, const Sizes& sizes, bool zeroed = false,
                MemoryFormat format = MemoryFormat::Contiguous);

/// `tensor` itself if it has that dtype; else a copy in the same memory format.
Tensor converted(const Tensor& tensor, DType dtype);

/// `tensor` itself if its dims [first, last) can be walked with one stride, as a flat index wants; else a dense copy.
Tensor with_flat_dims(const Tensor& tensor, int64_t first, int64_t last);

/// [N, C, *in]
ImageArray image_array(const Tensor& tensor, void* data);
/// [N, C, *out], whose spatial dims are flat, of a call for images of that dtype.
LocationArray output_array(const Tensor& tensor, void* data, DType image_dtype);
/// [N, *out, dims], whose spatial dims are flat.
LocationArray grid_array(const Tensor& tensor, void* data);
/// [N, C]
ChannelArray channel_array(const Tensor& tensor, void* data);

/// The data of an argument: read only, which keeps copy-on-write tensors lazy.
inline void* data_of(const Tensor& argument) { return const_cast<void*>(argument.const_data_ptr()); }

}  // namespace stn::ops
