#pragma once
#include "../core/padding.h"
#include "tensors.h"

// What memory safety and honest results need when an operator is called directly. Users of the Python functions meet the
// checks of stn_cuda/_checks.py first, which raise torch's exception types. std::invalid_argument is Python's ValueError,
// std::runtime_error its RuntimeError; STD_TORCH_CHECK is not for users, since it prefixes function, file and line.

namespace stn::ops {

template <typename... parts_t>
void check_value(bool condition, const parts_t&... message) {
  if (!condition) throw std::invalid_argument(join(message...));
}

/// The value of an enum whose list of modes.h is `list`.
template <typename enum_t, size_t kCount>
enum_t check_mode(const Named<enum_t> (&list)[kCount], int64_t value, const char* op, const char* argument) {
  for (const auto& entry : list) {
    if (static_cast<int64_t>(entry.value) == value) return entry.value;
  }
  std::string known;
  for (const auto& entry : list) known += join(known.empty() ? "" : ", ", static_cast<int>(entry.value), " (", entry.name, ")");
  throw std::invalid_argument(join(op, ": expected ", argument, " to be one of ", known, ", got ", value));
}

inline void check_defined(const Tensor& tensor, const char* op, const char* argument) {
  check_value(tensor.defined(), op, ": expected ", argument, " to be a tensor, got None");
}

inline ScalarType check_dtype(const Tensor& tensor, const char* op, const char* argument) {
  switch (tensor.scalar_type()) {
    case DType::Half:
      return ScalarType::kHalf;
    case DType::BFloat16:
      return ScalarType::kBFloat16;
    case DType::Float:
      return ScalarType::kFloat;
    case DType::Double:
      return ScalarType::kDouble;
    default:
      throw std::runtime_error(join(op, ": expected ", argument, " to be float16, bfloat16, float32 or float64, got ",
                                    torch::headeronly::toString(tensor.scalar_type())));
  }
}

/// `tensor` has this dtype, and the device of `like`.
inline void check_kind(const Tensor& tensor, DType dtype, const Tensor& like, const char* op, const char* argument) {
  check_value(tensor.scalar_type() == dtype, op, ": expected ", argument, " of dtype ", torch::headeronly::toString(dtype),
              ", got ", torch::headeronly::toString(tensor.scalar_type()));
  check_value(tensor.device() == like.device(), op, ": expected ", argument, " on the device of the other arguments");
}

/// ... and these sizes.
inline void check_like(const Tensor& tensor, const Sizes& sizes, DType dtype, const Tensor& like, const char* op,
                       const char* argument) {
  check_defined(tensor, op, argument);
  check_value(sizes_of(tensor) == sizes, op, ": expected ", argument, " of shape ", text_of(sizes), ", got ", text_of(tensor));
  check_kind(tensor, dtype, like, op, argument);
}

}  // namespace stn::ops
