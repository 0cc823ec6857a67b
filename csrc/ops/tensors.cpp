#include "tensors.h"

#include <stdexcept>

namespace stn::ops {
namespace {

/// The one stride of dims [first, last), if there is one. Dims of size 1 have no stride of their own.
std::optional<int64_t> flat_stride(const Tensor& tensor, int64_t first, int64_t last) {
  std::optional<int64_t> innermost;
  int64_t next = 0;  // the stride that the next dim outwards must have
  for (int64_t dim = last - 1; dim >= first; --dim) {
    const int64_t size = tensor.size(dim), stride = tensor.stride(dim);
    if (size == 1) continue;
    if (innermost && stride != next) return std::nullopt;
    if (!innermost) innermost = stride;
    next = stride * size;
  }
  return innermost.value_or(0);
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const SizesText& text) {
  stream << "[";
  for (size_t i = 0; i < text.count; ++i) stream << (i > 0 ? ", " : "") << text.sizes[i];
  return stream << "]";
}

/// What failed is lost below torch 2.13, so its likely cause is said: sizes and dtype were checked before.
[[noreturn]] static void throw_out_of_memory(const Sizes& sizes, DType dtype) {
  throw std::runtime_error(join("stn_cuda: not enough memory for a tensor of shape ", text_of(sizes), " and dtype ",
                                torch::headeronly::toString(dtype)));
}

DType accumulate_dtype(DType dtype) { return dtype == DType::Half || dtype == DType::BFloat16 ? DType::Float : dtype; }

MemoryFormat memory_format_of(const Tensor& tensor) {
  const int64_t dims = tensor.dim() - 2;
  if (dims < 2 || tensor.stride(1) == 0) return MemoryFormat::Contiguous;
  int64_t least = 0;  // strides have to ascend over C, x, y[, z], N
  for (int64_t i = 0; i < dims + 2; ++i) {
    const int64_t dim = i == 0 ? 1 : i == dims + 1 ? 0 : dims + 2 - i;
    const int64_t size = tensor.size(dim), stride = tensor.stride(dim);
    if (size == 0 || stride < least) return MemoryFormat::Contiguous;
    if (dim == 0 && least == tensor.stride(1)) return MemoryFormat::Contiguous;  // [N, 1, 1, 1] fits both: contiguous
    least = size > 1 ? stride * size : stride;
  }
  return dims == 2 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
}

MemoryFormat memory_format_of(const Tensor& tensor, int64_t result_dims) {
  const bool follows = memory_format_of(tensor) != MemoryFormat::Contiguous && (result_dims == 4 || result_dims == 5);
  if (!follows) return MemoryFormat::Contiguous;
  return result_dims == 4 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
}

/// The strides of a dense tensor, as torch gives them to empty ones as well.
static Sizes dense_strides(const Sizes& sizes, MemoryFormat format) {
  Sizes strides(sizes.size());
  const bool channels_last = format != MemoryFormat::Contiguous;
  int64_t next = channels_last ? sizes[1] : 1;
  for (size_t dim = sizes.size(); dim-- > 0;) {
    if (channels_last && dim == 1) continue;
    strides[dim] = next;
    next *= channels_last ? sizes[dim] : std::max<int64_t>(1, sizes[dim]);
  }
  if (channels_last) strides[1] = 1;
  return strides;
}

/// By the shim: torch::stable::new_empty looks its operator up by name, which takes longer than a small tensor's memory.
Tensor allocate(const Tensor& like, DType dtype, const Sizes& sizes, bool zeroed, MemoryFormat format) {
  const Sizes strides = dense_strides(sizes, format);
  const auto number = torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
  int32_t device = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device));
  try {
    AtenTensorHandle handle = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(),
                                                           number, device, like.get_device_index(), &handle));
    Tensor tensor(handle);
    return zeroed ? torch::stable::zero_(tensor) : tensor;
  } catch (const std::exception&) {
    throw_out_of_memory(sizes, dtype);
  }
}

Tensor converted(const Tensor& tensor, DType dtype) {
  if (tensor.scalar_type() == dtype) return tensor;
  try {
    return torch::stable::to(tensor, dtype);
  } catch (const std::exception&) {
    throw_out_of_memory(sizes_of(tensor), dtype);
  }
}

Tensor with_flat_dims(const Tensor& tensor, int64_t first, int64_t last) {
  if (tensor.numel() == 0 || flat_stride(tensor, first, last)) return tensor;
  try {
    return torch::stable::contiguous(tensor);
  } catch (const std::exception&) {
    throw_out_of_memory(sizes_of(tensor), tensor.scalar_type());
  }
}

/// torch lets the stride of a dim of size 1 be any number; 0 can overflow nowhere.
static int64_t stride_of(const Tensor& tensor, int64_t dim) { return tensor.size(dim) == 1 ? 0 : tensor.stride(dim); }

ImageArray image_array(const Tensor& tensor, void* data) {
  ImageArray array{data, stride_of(tensor, 0), stride_of(tensor, 1)};
  const int64_t last = tensor.dim() - 1;  // x is the last dim
  for (int64_t e = 0; e < last - 1; ++e) array.axis_stride[e] = stride_of(tensor, last - e);
  return array;
}

LocationArray output_array(const Tensor& tensor, void* data, DType image_dtype) {
  return {data, stride_of(tensor, 0), flat_stride(tensor, 2, tensor.dim()).value_or(0), stride_of(tensor, 1),
          tensor.scalar_type() != image_dtype};
}

LocationArray grid_array(const Tensor& tensor, void* data) {
  const int64_t last = tensor.dim() - 1;
  return {data, stride_of(tensor, 0), flat_stride(tensor, 1, last).value_or(0), stride_of(tensor, last)};
}

ChannelArray channel_array(const Tensor& tensor, void* data) { return {data, stride_of(tensor, 0), stride_of(tensor, 1)}; }

}  // namespace stn::ops
