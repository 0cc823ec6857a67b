// Asking memory for pixels before they are read.
#pragma once
#include <limits>

#include "chunk.inl"

namespace stn::cpu {
namespace {

/// How far an image's planes have been asked for. Where a map turns an image, a vector of locations reads a few pixels of each
/// of several rows. The hardware doesn't foresee these, as it does a row's, and a kernel waited for them for half of its time.
/// So memory is asked for pixels in the order in which they lie there, each once, as far as taps have got and a little further.
///
/// All of this is inlined where pixels are read: g++ leaves out the call of a function that does nothing but prefetch.
class Prefetcher {
 public:
  /// Pixels beyond the farthest tap: memory takes as long as a chunk or two.
  static constexpr int64_t kAhead = 1024;
  /// Pixels asked for before a chunk is read, at most. What a chunk reaches at once takes turns with reading then.
  static constexpr int64_t kMost = 8 * kChunk;
  /// Pixels of an image for each of its locations, at most, where it is worth it: of a few locations' rows few are read.
  static constexpr int64_t kPerLocation = 4;
  /// Rows in which the taps of an upright image are.
  static constexpr int64_t kUprightRows = 4;
  /// Pixels of a plane that the first cache keeps anyway.
  static constexpr int64_t kKept = 4096;
  static constexpr int64_t kCacheLine = 64;  // bytes

  Prefetcher(const SampleCall& call, const ImageArray& image)
      : image_(image), dtype_(call.dtype), pixel_(kNone), row_(kNone), extent_(1) {
    for (int e = 0; e < call.dims; ++e) {
      const int64_t stride = image.axis_stride[e];
      if (call.size[e] == 1) continue;  // of whatever stride
      extent_ += (call.size[e] - 1) * stride;
      row_ = std::min(row_, std::max(pixel_, stride));
      pixel_ = std::min(pixel_, stride);
    }
    asks_ = image.data && row_ != kNone && extent_ > kKept * pixel_ && kPerLocation * call.locations >= call.pixels();
  }

  /// Elements of a plane.
  struct Range {
    int64_t first, last;
  };

  /// What of each plane of image n is to be asked for before the chunk's taps are read. Chunks come in the order of locations.
  template <typename chunk_t>
  STN_HOST Range next(const chunk_t& chunk, int64_t n) {
    if (!asks_) return {0, 0};
    const auto [least, most] = farthest_taps(chunk);
    if (most < 0) return {0, 0};  // all outside
    if (n != n_) n_ = n, asked_ = least;
    const int64_t first = asked_, last = std::min({most + kAhead * pixel_, extent_, first + kMost * pixel_});
    if (last <= first) return {0, 0};
    asked_ = last;
    return most - least > kUprightRows * row_ ? Range{first, last} : Range{0, 0};
  }

  /// body(address) for the cache lines of it, of channels [first_channel, last_channel).
  template <typename chunk_t, typename Body>
  STN_HOST void for_each_line(const chunk_t& chunk, int64_t n, int64_t first_channel, int64_t last_channel, Body&& body) {
    const auto [first, last] = next(chunk, n);
    if (first == last) return;
    const int64_t size = element_size(dtype_);
    const bool in_one_line = image_.channel_stride * size < kCacheLine;  // a pixel's channels
    for (int64_t c = first_channel; c < (in_one_line ? first_channel + 1 : last_channel); ++c) {
      const char* plane = rows_of(image_, dtype_, n, c).data;
      for (int64_t at = first * size; at < last * size; at += kCacheLine) body(plane + at);
    }
  }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  /// The least offset and the largest of the locations' last taps; -1 where there is none. Of one vector in four: locations
  /// beside each other have their taps beside each other.
  template <typename chunk_t>
  static STN_HOST Range farthest_taps(const chunk_t& chunk) {
    using offset_t = typename chunk_t::offset_t;
    int64_t least = kNone, most = -1;
    if constexpr (chunk_t::kIsWide) {
      using scalar_t = typename chunk_t::scalar_t;
      using index_t = typename Vectors<scalar_t>::index_t;
      constexpr int kLocations = kLanes<vector_of<scalar_t>>;
      index_t leasts = index_t{} + std::numeric_limits<offset_t>::max(), largest = index_t{} - 1;
      for (int i = 0; i + kLocations <= chunk.count; i += 4 * kLocations) {
        const auto offsets = load_lanes<index_t>(&chunk.offsets[chunk.taps - 1][i]);
        leasts = select((offsets >= 0) & (offsets < leasts), offsets, leasts);
        largest = select(offsets > largest, offsets, largest);
      }
      for (int k = 0; k < kLocations; ++k) {
        least = std::min<int64_t>(least, leasts[k]);
        most = std::max<int64_t>(most, largest[k]);
      }
    }
    return {least, most};
  }

  const ImageArray image_;
  const ScalarType dtype_;
  bool asks_;
  int64_t pixel_, row_;  // elements to the next one; 0 where an axis is expanded: nothing is asked for then
  int64_t extent_;       // elements of a plane
  int64_t n_ = -1, asked_ = 0;
};

/// Asks for the pixels of the images that terms read. `channels` are those that are read.
template <typename terms_t>
class TermsPrefetcher {
 public:
  explicit TermsPrefetcher(const terms_t& terms)
      : terms_(terms), own_(terms.call, terms.call.input), other_(terms.call, terms.call.tangent_input) {}

  STN_HOST void ask(int64_t n, int64_t first_channel, int64_t last_channel) {
    const auto prefetch = [](const char* line) __attribute__((always_inline)) { __builtin_prefetch(line); };
    if (terms_.own) own_.for_each_line(terms_.own->chunk, n, first_channel, last_channel, prefetch);
    if (terms_.other) other_.for_each_line(terms_.other->chunk, n, first_channel, last_channel, prefetch);
  }

 private:
  const terms_t& terms_;
  Prefetcher own_, other_;
};

}  // namespace
}  // namespace stn::cpu
