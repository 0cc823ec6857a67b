// What is asked for before it is read (csrc/cpu/prefetch.inl): of turned images most of what taps need, each pixel once and
// none outside; of others nothing.
#include <cmath>
#include <vector>

#include "../../csrc/cpu/prefetch.inl"
#include "checks.h"

using namespace stn;
using namespace stn::cpu;

namespace {

constexpr int64_t kImages = 2, kChannels = 3;

/// Images of a size, read at as many locations as they have pixels, through a rotation of x and y about the centre.
template <typename scalar_t>
struct Walk {
  using chunk_t = Chunk<scalar_t, typename WideLanes<scalar_t>::offset_t>;

  SampleCall call{};
  std::vector<scalar_t> pixels;
  chunk_t chunk;
  double angle;  // radians

  Walk(std::vector<int64_t> size, double angle, bool channels_last = false) : angle(angle) {
    call.dtype = sizeof(scalar_t) == 8 ? ScalarType::kDouble : ScalarType::kFloat;
    int64_t stride = channels_last ? kChannels : 1;
    for (const int64_t each : size) {
      call.input.axis_stride[call.dims] = stride;
      call.size[call.dims++] = each;
      stride *= each;
    }
    call.locations = stride / (channels_last ? kChannels : 1);
    call.input.channel_stride = channels_last ? 1 : stride;
    call.input.batch_stride = channels_last ? stride : stride * kChannels;
    pixels.resize(static_cast<size_t>(kImages * call.input.batch_stride));
    call.input.data = pixels.data();
    std::memset(static_cast<void*>(&chunk), 0, sizeof chunk);
    chunk.taps = 1 << call.dims;
  }

  /// The offset of the last tap of bilinear interpolation, negative where it is outside; the last pixel is its own neighbour.
  int64_t last_tap(int64_t location) const {
    double at[kMaxDims];
    for (int e = 0; e < call.dims; location /= call.size[e++]) {
      at[e] = static_cast<double>(location % call.size[e]) - static_cast<double>(call.size[e] - 1) / 2;
    }
    const double x = at[0], y = call.dims > 1 ? at[1] : 0;
    at[0] = std::cos(angle) * x - std::sin(angle) * y;
    if (call.dims > 1) at[1] = std::sin(angle) * x + std::cos(angle) * y;
    int64_t offset = 0;
    for (int e = 0; e < call.dims; ++e) {
      const auto index = static_cast<int64_t>(std::floor(at[e] + static_cast<double>(call.size[e] - 1) / 2)) + 1;
      if (index < 0 || index > call.size[e]) return -1;
      offset += std::min(index, call.size[e] - 1) * call.input.axis_stride[e];
    }
    return offset;
  }

  struct Result {
    int64_t asked, taps, known;  // elements; taps inside; those of them whose elements had been asked for by an earlier chunk
  };

  /// Of image n, from the first location to the last one.
  Result of_image(Prefetcher& prefetcher, int64_t n) {
    int64_t extent = 1;
    for (int e = 0; e < call.dims; ++e) extent += (call.size[e] - 1) * call.input.axis_stride[e];
    std::vector<bool> was_asked(static_cast<size_t>(extent));
    Result result{};
    int64_t reached = 0;
    for (int64_t start = 0; start < call.locations; start += kChunk) {
      chunk.count = static_cast<int>(std::min<int64_t>(kChunk, call.locations - start));
      int64_t farthest = -1;
      for (int i = 0; i < chunk.count; ++i) {
        const int64_t tap = last_tap(start + i);
        chunk.offsets[chunk.taps - 1][i] = static_cast<typename chunk_t::offset_t>(tap);
        farthest = std::max(farthest, tap);
        result.taps += tap >= 0;
        result.known += tap >= 0 && was_asked[static_cast<size_t>(tap)];
      }
      const auto [first, last] = prefetcher.next(chunk, n);
      if (first == last) continue;
      CHECK(reached <= first && first < last && last <= extent, "[%ld, %ld) after %ld", long(first), long(last), long(reached));
      const int64_t pixel = *std::min_element(call.input.axis_stride, call.input.axis_stride + call.dims);
      CHECK(last - first <= Prefetcher::kMost * pixel, "%ld at once", long(last - first));
      CHECK(last <= farthest + Prefetcher::kAhead * pixel, "%ld for a tap at %ld", long(last), long(farthest));
      reached = last;
      result.asked += last - first;
      std::fill(was_asked.begin() + first, was_asked.begin() + last, true);
    }
    return result;
  }
  Result of_image() {
    Prefetcher prefetcher(call, call.input);
    return of_image(prefetcher, 0);
  }
};

template <typename scalar_t>
void check_turned_images() {
  for (const double angle : {-.3, -.1, .1, .3}) {
    for (const std::vector<int64_t>& size : {std::vector<int64_t>{224, 224}, {300, 200}, {64, 64, 64}}) {
      int64_t known = 0;
      for (const bool channels_last : {false, true}) {
        Walk<scalar_t> walk(size, angle, channels_last);
        Prefetcher prefetcher(walk.call, walk.call.input);
        const auto first = walk.of_image(prefetcher, 0), second = walk.of_image(prefetcher, 1);
        CHECK(first.known > .75 * double(first.taps), "%ld of %ld", long(first.known), long(first.taps));
        CHECK(!channels_last || first.known == known, "%ld and not %ld", long(first.known), long(known));
        known = first.known;
        CHECK(second.asked == first.asked && second.known == first.known, "%ld", long(second.asked));
      }
    }
  }
}

template <typename scalar_t>
void check_nothing_is_asked() {
  const auto check = [](Walk<scalar_t> walk) {
    const auto result = walk.of_image();
    CHECK(result.asked == 0, "%ld elements of %ld x %ld", long(result.asked), long(walk.call.size[0]), long(walk.call.size[1]));
  };
  const double upside_down = std::acos(-1.);
  check({{224, 224}, 0});
  check({{224, 224}, upside_down});
  check({{64, 64}, .3});  // is kept
  CHECK((Walk<scalar_t>({65, 64}, .3).of_image().asked > 0), "one column more");
  check({{100000}, .3});
  Walk<scalar_t> flat({224, 224}, .3), absent = flat, thin({1, 100000}, 0);
  flat.call.input.axis_stride[1] = 0;
  check(flat);
  absent.call.input.data = nullptr;
  check(absent);
  thin.call.input.axis_stride[1] = 3;
  check(thin);
  Walk<scalar_t> sparse({1000, 1000}, .3);
  sparse.call.locations /= 4;
  CHECK(sparse.of_image().asked > 0, "half of the rows and columns");
  sparse.call.locations -= 1;
  check(sparse);
}

/// Each cache line of the channels that are read, or of a pixel's channels together.
template <typename scalar_t>
void check_lines() {
  for (const bool channels_last : {false, true}) {
    Walk<scalar_t> walk({224, 224}, .3, channels_last);
    const ImageArray& image = walk.call.input;
    walk.chunk.count = kChunk;
    for (int i = 0; i < kChunk; ++i) {
      walk.chunk.offsets[3][i] = static_cast<int>((i * 80 + 1000) * image.axis_stride[0]);
    }
    Prefetcher prefetcher(walk.call, image);
    Prefetcher same = prefetcher;
    const auto [first, last] = same.next(walk.chunk, 1);
    CHECK(first < last, "%ld", long(first));
    std::vector<const char*> expected, lines;
    for (int64_t c = 1; c < (channels_last ? 2 : kChannels); ++c) {
      const scalar_t* plane = walk.pixels.data() + image.batch_stride + c * image.channel_stride;
      for (auto at = reinterpret_cast<const char*>(plane + first); at < reinterpret_cast<const char*>(plane + last); at += 64) {
        expected.push_back(at);
      }
    }
    prefetcher.for_each_line(walk.chunk, 1, 1, kChannels, [&](const char* line) { lines.push_back(line); });
    CHECK(lines == expected, "%ld lines", long(lines.size()));
  }
}

template <typename scalar_t>
void check_scalar() {
  check_turned_images<scalar_t>();
  check_nothing_is_asked<scalar_t>();
  check_lines<scalar_t>();
}

}  // namespace

int main() {
  check_scalar<float>();
  check_scalar<double>();
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
