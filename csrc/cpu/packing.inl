// Images as lines: where a pixel's channels lie side by side already, or as a copy.
#pragma once
#include <cstdlib>
#include <new>

#include "line.h"
#include "partition.h"

namespace stn::cpu {
namespace {

/// Aligned memory for lines, of one unit of work; gone with it.
template <typename scalar_t>
class Scratch {
 public:
  Scratch() = default;
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void reset(int64_t lines) {
    std::free(data_);
    data_ = static_cast<scalar_t*>(std::aligned_alloc(64, static_cast<size_t>(lines) * 64));
    if (!data_ && lines > 0) throw std::bad_alloc();
  }
  scalar_t* line(int64_t i) const { return data_ + i * kLine<scalar_t>; }

 private:
  scalar_t* data_ = nullptr;
};

/// Rows that are turned into lines, or made of them, at a time.
constexpr int kRun = kChunk;

/// `count` elements (kRun at most) of `channels` channels to lines; what a line has beyond them is zeros.
template <typename scalar_t>
void rows_to_lines(const Rows& rows, int channels, int count, scalar_t* lines, int64_t step) {
  constexpr int kLength = kLine<scalar_t>, n = Line<scalar_t>::kVectorLanes;
  if (rows.channel_stride == 1) {
    return with_storage<scalar_t>(rows.dtype, [&](auto zero) {
      for (int i = 0; i < count; ++i) {
        copy_in(rows.row<const decltype(zero)>(0) + i * rows.stride, 1, channels, lines + i * step);
        for (int k = channels; k < kLength; ++k) lines[i * step + k] = 0;
      }
    });
  }
  int done = 0;
  if (rows.is_plain() && channels == kLength && rows.stride == 1) {
    done = count / n * n;
    transpose_rows(rows.row<const scalar_t>(0), rows.channel_stride, done, lines, step, kRun);
  }
  if (done == count) return;
  alignas(64) scalar_t copies[kLength][kRun];
  for (int k = 0; k < kLength; ++k) clear(copies[k]);
  for (int k = 0; k < channels; ++k) load_row(rows.from(0, done), k, count - done, copies[k]);
  const int whole = (count - done + n - 1) / n * n;
  alignas(64) scalar_t turned[kRun * kLength];
  transpose_rows(copies[0], kRun, whole, turned, kLength, 0);
  for (int i = 0; i < count - done; ++i) Line<scalar_t>::load(turned + i * kLength).store(lines + (done + i) * step);
}

/// ... and back, past the caches if `streams`.
template <typename scalar_t>
void lines_to_rows(const scalar_t* lines, int64_t step, int count, const Rows& rows, int channels, bool streams) {
  constexpr int kLength = kLine<scalar_t>, n = Line<scalar_t>::kVectorLanes;
  if (rows.channel_stride == 1) {
    return with_storage<scalar_t>(rows.dtype, [&](auto zero) {
      for (int i = 0; i < count; ++i) copy_out(lines + i * step, channels, rows.row<decltype(zero)>(0) + i * rows.stride, 1);
    });
  }
  if (!streams && rows.is_plain() && channels == kLength && rows.stride == 1 && count == kRun) {
    return transpose_lines(lines, step, count, rows.row<scalar_t>(0), rows.channel_stride);
  }
  alignas(64) scalar_t turned[kLength][kRun], last[n * kLength];
  const int whole = count / n * n;
  transpose_lines(lines, step, whole, turned[0], kRun);
  if (whole < count) {
    for (int i = 0; i < n; ++i) Line<scalar_t>::load(lines + std::min(whole + i, count - 1) * step).store(last + i * kLength);
    transpose_lines(last, kLength, n, &turned[0][whole], kRun);
  }
  for (int k = 0; k < channels; ++k) streams ? stream_row(turned[k], rows, k, count) : store_row(turned[k], rows, k, count);
}

/// An image whose pixels are lines: the channels from c on of image n, a line of them after the other.
template <typename scalar_t>
class LineImage {
 public:
  /// A copy, of as many lines at a time; or, for 0, as it is. It may be absent.
  LineImage(const SampleCall& call, const ImageArray& image, ScalarType dtype, int lines = 0)
      : image_(image), dtype_(dtype), dims_(call.dims), is_copy_(lines > 0), pixels_(1) {
    int64_t stride = kLine<scalar_t>;
    for (int e = 0; e < dims_; ++e) {
      size_[e] = call.size[e];
      axis_stride[e] = is_copy_ ? stride : image.axis_stride[e];
      stride *= size_[e];
      pixels_ *= size_[e];
    }
    line_stride = is_copy_ ? pixels_ * kLine<scalar_t> : kLine<scalar_t>;
    if (is_copy_ && image.data) scratch_.reset(lines * pixels_);
  }

  int64_t axis_stride[kMaxDims];  // elements from pixel to pixel
  int64_t line_stride;            // from a line of a pixel to the next

  /// Where the first pixel's channels are, as they are.
  const scalar_t* read(int64_t n, int64_t c, int channels) {
    if (!is_copy_ || !image_.data) return plane(n, c);
    for_each_run(n, c, channels, [](const Rows& rows, int some, int count, scalar_t* lines) {
      rows_to_lines(rows, some, count, lines, kLine<scalar_t>);
    });
    return scratch_.line(0);
  }

  /// ... as zeros, or where they are added to in place, and are zeros already.
  scalar_t* begin_sum(int64_t n, int64_t c, int channels) {
    if (!is_copy_ || !image_.data) return plane(n, c);
    const int64_t lines = (channels + kLine<scalar_t> - 1) / kLine<scalar_t>;
    std::memset(scratch_.line(0), 0, static_cast<size_t>(lines * line_stride) * sizeof(scalar_t));
    return scratch_.line(0);
  }
  void end_sum(int64_t n, int64_t c, int channels, bool streams) {
    if (!is_copy_ || !image_.data) return;
    for_each_run(n, c, channels, [streams](const Rows& rows, int some, int count, const scalar_t* lines) {
      lines_to_rows(lines, kLine<scalar_t>, count, rows, some, streams);
    });
  }

 private:
  scalar_t* plane(int64_t n, int64_t c) const { return rows_of(image_, dtype_, n, c).template row<scalar_t>(0); }

  /// body(rows of at most kRun pixels, channels, pixels, their lines): line by line, because a machine reads ahead in so many
  /// planes at a time, and not in more.
  template <typename Body>
  void for_each_run(int64_t n, int64_t c, int channels, Body&& body) {
    int64_t run = size_[0];
    int axes = 1;
    for (; axes < dims_ && image_.axis_stride[axes] == run * image_.axis_stride[0]; ++axes) run *= size_[axes];
    for (int done = 0; done < channels; done += kLine<scalar_t>) {
      const Rows first = rows_of(image_, dtype_, n, c + done);
      for (int64_t start = 0; start < pixels_; start += run) {
        int64_t offset = 0, rest = start / run;
        for (int e = axes; e < dims_; ++e) {
          offset += rest % size_[e] * image_.axis_stride[e];
          rest /= size_[e];
        }
        for (int64_t x = 0; x < run; x += kRun) {
          Rows rows = first;
          rows.data += (offset + x * image_.axis_stride[0]) * element_size(dtype_);
          body(rows, std::min(kLine<scalar_t>, channels - done), static_cast<int>(std::min<int64_t>(kRun, run - x)),
               scratch_.line(done / kLine<scalar_t> * pixels_ + start + x));
        }
      }
    }
  }

  const ImageArray image_;
  ScalarType dtype_;
  int dims_;
  bool is_copy_;
  int64_t size_[kMaxDims], pixels_;
  Scratch<scalar_t> scratch_;
};

}  // namespace
}  // namespace stn::cpu
