#pragma once
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../../../../csrc/core/dispatch.h"
#include "../../checks.h"

/// A number in its storage, as a double.
inline double load_number(stn::ScalarType type, const unsigned char* from) {
  const auto as = [&](auto value) {
    std::memcpy(&value, from, sizeof value);
    return double(stn::widen(value));
  };
  switch (type) {
    case stn::ScalarType::kHalf:
      return as(stn::Half{});
    case stn::ScalarType::kBFloat16:
      return as(stn::BFloat16{});
    case stn::ScalarType::kFloat:
      return as(float{});
    default:
      return as(double{});
  }
}

inline void store_number(stn::ScalarType type, double number, unsigned char* to) {
  const auto as = [&](auto value) { std::memcpy(to, &value, sizeof value); };
  switch (type) {
    case stn::ScalarType::kHalf:
      return as(stn::narrow<stn::Half>(float(number)));
    case stn::ScalarType::kBFloat16:
      return as(stn::narrow<stn::BFloat16>(float(number)));
    case stn::ScalarType::kFloat:
      return as(float(number));
    default:
      return as(number);
  }
}

inline int64_t bytes_of(stn::ScalarType type) {
  return type == stn::ScalarType::kDouble ? 8 : type == stn::ScalarType::kFloat ? 4 : 2;
}

/// Three quarters of an ulp of 1.
inline double epsilon_of(stn::ScalarType type) {
  switch (type) {
    case stn::ScalarType::kHalf:
      return 0x1.8p-11;
    case stn::ScalarType::kBFloat16:
      return 0x1.8p-8;
    case stn::ScalarType::kFloat:
      return 0x1.8p-24;
    default:
      return 0x1.8p-53;
  }
}

enum class Role { kInput, kOutput, kDense };  // the last: an output in one of torch's memory formats

/// An array with any strides, in a heap block that ends behind its last element, so that AddressSanitizer sees an access one
/// element beyond. Whatever lies before and between its elements is all ones, a NaN in every type: read, it shows in a result,
/// and written, in the block.
class Strided {
 public:
  std::vector<int64_t> shape, strides;

  /// `missing`: elements that the block lacks at its end, to show that this is seen.
  Strided(Random& random, stn::ScalarType type, std::vector<int64_t> shape, Role role, int64_t missing = 0)
      : shape(std::move(shape)), strides(this->shape.size()), type_(type), role_(role), missing_(missing) {
    std::vector<std::size_t> order(this->shape.size());
    for (std::size_t axis = 0; axis < order.size(); ++axis) {
      order[axis] = axis;
      std::swap(order[axis], order[random.below(int64_t(axis) + 1)]);
    }
    const bool dense = role == Role::kDense;
    if (dense) order = random.below(2) ? std::vector<std::size_t>{2, 3, 4, 1, 0} : std::vector<std::size_t>{1, 2, 3, 4, 0};
    int64_t stride = !dense && random.below(4) == 0 ? 2 : 1, last = 0;
    for (const std::size_t axis : order) {
      const int64_t extent = this->shape[axis];
      const bool nobody_steps = extent == 1 && random.below(8) == 0;  // then a stride may be anything, and needs no memory
      const bool repeats = role == Role::kInput && random.below(8) == 0;
      strides[axis] = nobody_steps ? int64_t(1) << random.below(41) : repeats ? 0 : stride;
      last += (extent - 1) * strides[axis];
      if (!repeats) stride = stride * extent + (!dense && random.below(3) == 0 ? random.below(4) : 0);
    }
    first_ = random.below(3) == 0 ? random.below(9) : 0;
    bytes_ = (first_ + last + 1 - missing) * bytes_of(type);
    block_.reset(new unsigned char[bytes_]);
    std::memset(block_.get(), 0xff, bytes_);
  }

  void* data() const { return block_.get() + first_ * bytes_of(type_); }
  stn::ScalarType type() const { return type_; }
  int64_t count() const {
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }

  /// Elements from the first one to that with these indices, or to the k-th of all, counted along the last axis first.
  template <typename... Index>
  int64_t offset(Index... index) const {
    int64_t sum = 0;
    std::size_t axis = 0;
    ((sum += int64_t(index) * strides[axis++]), ...);
    return sum;
  }
  int64_t offset_of(int64_t k) const {
    int64_t sum = 0;
    for (std::size_t axis = shape.size(); axis-- > 0; k /= shape[axis]) sum += k % shape[axis] * strides[axis];
    return sum;
  }

  /// 0 for an element that the block lacks: only the product may be caught at it.
  double load(int64_t offset) const { return has(offset) ? load_number(type_, at(offset)) : 0; }

  /// value() for every element that the block has.
  template <typename F>
  void fill(F&& value) {
    for (int64_t k = 0, all = count(); k < all; ++k) {
      const int64_t offset = offset_of(k);
      if (has(offset)) store_number(type_, value(), at(offset));
    }
    filled_.assign(block_.get(), block_.get() + bytes_);
  }

  /// Whether the block is too short: nobody here looks at it then, since the product has to be caught at it.
  bool lacks() const { return missing_ > 0; }

  std::vector<unsigned char> bytes() const { return {block_.get(), block_.get() + bytes_}; }

  /// An input is as it was filled; of an output, what lies outside of its elements is as it was.
  void check_untouched(const char* name) const {
    if (lacks()) return;
    std::vector<unsigned char> expected(bytes_, 0xff);
    if (role_ == Role::kInput) expected = filled_;
    for (int64_t k = 0, all = count(); k < all && role_ != Role::kInput; ++k) {
      const int64_t at = (first_ + offset_of(k)) * bytes_of(type_);
      std::copy_n(block_.get() + at, bytes_of(type_), expected.begin() + at);
    }
    CHECK(std::memcmp(expected.data(), block_.get(), bytes_) == 0, "%s: written where nothing is to be written", name);
  }

 private:
  bool has(int64_t offset) const { return (first_ + offset + 1) * bytes_of(type_) <= bytes_; }
  unsigned char* at(int64_t offset) const { return block_.get() + (first_ + offset) * bytes_of(type_); }

  stn::ScalarType type_;
  Role role_;
  int64_t missing_;
  int64_t first_ = 0, bytes_ = 0;
  std::unique_ptr<unsigned char[]> block_;
  std::vector<unsigned char> filled_;
};

/// An array [N, C, x, y, z] as a call has it.
inline stn::ImageArray image_array(const std::optional<Strided>& array) {
  if (!array) return {};
  const auto& strides = array->strides;
  return {array->data(), strides[0], strides[1], {strides[2], strides[3], strides[4]}};
}

/// An array [N, C or dims, P], likewise.
inline stn::LocationArray location_array(const Strided& array, stn::ScalarType dtype) {
  return {array.data(), array.strides[0], array.strides[2], array.strides[1], array.type() != dtype};
}
inline stn::LocationArray location_array(const std::optional<Strided>& array, stn::ScalarType dtype) {
  return array ? location_array(*array, dtype) : stn::LocationArray{};
}

/// What an output has to be: for each element in the order of offset_of, its value and how far rounding may move it.
struct Expected {
  std::vector<double> value, error;
  explicit Expected(int64_t count = 0) : value(count), error(count) {}
  void add(int64_t k, double term, double bound) { value[k] += term, error[k] += bound; }
};

/// `judged`: false where only a finite number in every element is asked for.
inline void check_result(const Strided& got, const Expected& expected, bool judged, const char* name) {
  got.check_untouched(name);
  if (got.lacks()) return;
  for (int64_t k = 0, all = got.count(); k < all; ++k) {
    const double value = got.load(got.offset_of(k));
    CHECK(std::isfinite(value), "%s: element %ld is %g", name, long(k), value);
    if (!judged) continue;
    const double error =
        expected.error[k] + epsilon_of(got.type()) * std::fabs(expected.value[k]) + 1e-7 * (bytes_of(got.type()) == 2);
    CHECK(std::fabs(value - expected.value[k]) <= error, "%s: element %ld is %.17g, not %.17g, by more than %g", name, long(k),
          value, expected.value[k], error);
  }
}
