// Calls whose sizes are the point: arrays that 32-bit indices don't reach across, more planes and more partial sums than a
// block has threads. Float32 and two axes alone; what is far apart is memory that is reserved and hardly touched.
#include <sys/mman.h>

#include <cmath>
#include <vector>

#include "../../../../csrc/core/dispatch.h"
#include "../../../../csrc/cuda/cuda.h"
#include "../../checks.h"
#include "../../transform_arrays.h"
#include "definition.h"
#include "emulation.h"
#include "scratch.h"

using namespace stn;

namespace {

constexpr int64_t kFar = (int64_t(1) << 31) + 8;  // elements between the two images of a batch

/// Floats, zeros at first.
class Reserved {
 public:
  explicit Reserved(int64_t count) : bytes_(count * sizeof(float)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory_ != MAP_FAILED, "%ld bytes", long(bytes_));
  }
  ~Reserved() { munmap(memory_, bytes_); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  float* data() const { return static_cast<float*>(memory_); }

 private:
  int64_t bytes_;
  void* memory_;
};

/// Nearest pixels: outputs are pixels, the gradient is how often they are read.
void check_sampling() {
  const Reserved input(kFar + 8), grad_input(kFar + 8);
  const float grid[] = {-1, -1, 1, -1, -1, 1, 1, 1};  // the corners, for both images
  float output[8], ones[8];
  for (int k = 0; k < 4; ++k) {
    input.data()[k] = float(1 + k), input.data()[kFar + k] = float(11 + k);
    ones[k] = ones[4 + k] = 1;
  }
  SampleCall call{};
  call.dtype = ScalarType::kFloat, call.dims = 2, call.mode = InterpolationMode::kNearest;
  call.coordinates = CoordinateConvention::kCentres;
  pad_alike(call, PaddingMode::kBorder);
  set_batch(call, 2);
  call.channels = 1, call.locations = 4, call.size[0] = call.size[1] = 2;
  call.input = {input.data(), kFar, 4, {1, 2}};
  call.grid = {const_cast<float*>(grid), 0, 2, 1};
  call.output = {output, 4, 1, 4};
  CHECK(cuda::grid_sample(call, nullptr) == 0, "a launch");
  call.grad_output = {ones, 4, 1, 4};
  call.grad_input = {grad_input.data(), kFar, 4, {1, 2}};
  for (const bool deterministic : {false, true}) {
    const auto scratch = scratch_for(call, deterministic);
    CHECK(cuda::grid_sample_backward(call, deterministic, nullptr) == 0, "a launch");
  }
  for (int n = 0; n < 2; ++n) {
    for (int k = 0; k < 4; ++k) {
      CHECK(output[4 * n + k] == float(10 * n + 1 + k), "n %d, pixel %d: %g", n, k, double(output[4 * n + k]));
      const float sum = grad_input.data()[n * kFar + k];
      CHECK(sum == 2, "n %d, pixel %d: gradient %g", n, k, double(sum));
    }
  }
}

/// grad_input in a fixed order, where many locations read one pixel: an image has two, and the locations from `first` to `last`
/// read the second. Sums of small integers, which any order makes exactly.
void check_long_runs(int64_t batch, int64_t channels, int64_t locations, int64_t first, int64_t last) {
  std::vector<float> grad_output(batch * channels * locations), grad_input(batch * channels * 2), grid(locations);
  std::vector<double> expected(grad_input.size());
  for (int64_t p = 0; p < locations; ++p) grid[p] = p >= first && p < last ? 0.5f : -0.5f;
  for (std::size_t k = 0; k < grad_output.size(); ++k) {
    const int64_t p = int64_t(k) % locations;
    grad_output[k] = float(k % 13);
    expected[int64_t(k) / locations * 2 + (p >= first && p < last)] += grad_output[k];
  }
  SampleCall call{};
  call.dtype = ScalarType::kFloat, call.dims = 2, call.mode = InterpolationMode::kNearest;
  pad_alike(call, PaddingMode::kBorder);
  set_batch(call, batch);
  call.channels = channels, call.locations = locations, call.size[0] = 2, call.size[1] = 1;
  call.input = {grad_input.data(), channels * 2, 2, {1, 2}};  // not read
  call.grid = {grid.data(), 0, 1, 0};
  call.grad_output = {grad_output.data(), channels * locations, 1, locations};
  call.grad_input = call.input;
  const auto scratch = scratch_for(call, true);
  emulation::set_seed(uint64_t(last) % 4);  // the natural order of threads, or another
  CHECK(cuda::grid_sample_backward(call, true, nullptr) == 0, "a launch");
  emulation::set_seed(0);
  for (std::size_t k = 0; k < grad_input.size(); ++k)
    CHECK(grad_input[k] == float(expected[k]), "pixel %zu: %g, not %g", k, double(grad_input[k]), expected[k]);
}

constexpr int64_t kNoImage[kMaxDims] = {};

/// A call of a generator without its arrays, float32 and normalised.
TransformGridCall generator(int64_t batch, const int64_t (&size)[kMaxDims]) {
  TransformGridCall call{};
  call.dtype = ScalarType::kFloat, call.batch = batch;
  call.transform = transform_arrays(TransformKind::kAffine, 2, size, kNoImage, false, false);
  return call;
}

/// theta is a view whose rows are far apart, and so is its tangent.
void check_theta() {
  const Reserved theta(kFar + 6), tangent(kFar + 6);
  for (int k = 0; k < 6; ++k) theta.data()[k] = float(k), theta.data()[kFar + k] = float(10 + k);
  for (int k = 0; k < 6; ++k) tangent.data()[k] = float(20 + k), tangent.data()[kFar + k] = float(30 + k);
  float grid[4];
  for (const bool along : {false, true}) {
    TransformGridCall call = generator(2, {1, 1, 1});
    call.along_tangent = along;
    call.transform.theta = theta.data(), call.transform.tangent_theta = tangent.data();
    int64_t (&stride)[3] = along ? call.transform.tangent_stride : call.transform.theta_stride;
    stride[0] = kFar, stride[1] = 3, stride[2] = 1;
    call.grid = {grid, 2, 2, 1};
    CHECK(cuda::transform_grid(call, nullptr) == 0, "a launch");
    for (int n = 0; n < 2; ++n) {  // one location, the centre: the translation
      const float x = float(20 * along + 10 * n + 2);
      CHECK(grid[2 * n] == x && grid[2 * n + 1] == x + 3, "n %d: %g", n, double(grid[2 * n]));
    }
  }
}

void check_many_partial_sums() {
  TransformGridCall call = generator(1, {2048, 520, 1});
  const int64_t (&size)[kMaxDims] = call.transform.size, locations = call.transform.locations();
  const float theta[6] = {};
  call.transform.theta = theta;  // not that it counts
  std::vector<float> grad_grid(2 * locations), grad_theta(6);
  std::vector<double> partial(cuda::theta_partials(call));
  CHECK(partial.size() > 9 * 256, "%ld partial sums", long(partial.size()));
  double expected[6] = {};
  for (int64_t p = 0; p < locations; ++p) {
    const double base[] = {definition::base_coordinate(p % size[0], size[0], false),
                           definition::base_coordinate(p / size[0], size[1], false), 1};
    for (int e = 0; e < 2; ++e) {  // larger where the base is, so that no sum is near 0
      const float gradient = grad_grid[2 * p + e] = float(base[0] + base[1] + 1 + 0.125 * double((p + e) % 7));
      for (int j = 0; j < 3; ++j) expected[3 * e + j] += base[j] * double(gradient);
    }
  }
  call.grid = {grad_grid.data(), 0, 2, 1};
  call.transform.grad_theta = grad_theta.data(), call.transform.partial = partial.data();
  CHECK(cuda::transform_grid_backward(call, nullptr) == 0, "a launch");
  for (int k = 0; k < 6; ++k) {
    CHECK(std::fabs(grad_theta[k] - expected[k]) < 1e-5 * std::fabs(expected[k]), "element %d: %g, not %g", k,
          double(grad_theta[k]), expected[k]);
  }
}

/// grad_input of a theta's call where all locations read one pixel, or few do, in blocks of 256 columns or of 32: sums of small
/// integers. The images are far apart.
void check_gather(int64_t batch, int64_t input_batch, int64_t channels, int64_t width, int64_t height) {
  const int64_t locations = width * height, plane = 6, distance = input_batch > 1 ? kFar : 0;
  const Reserved grad_input(distance + channels * plane);
  std::vector<float> grad_output(batch * channels * locations);
  std::vector<double> expected(input_batch * channels * plane);
  SampleCall call{};
  call.dtype = ScalarType::kFloat, call.dims = 2, call.mode = InterpolationMode::kNearest;
  call.coordinates = CoordinateConvention::kPixels;
  pad_alike(call, PaddingMode::kZeros);
  set_batch(call, batch);
  call.input_batch = input_batch, call.grid_batch = 1, call.channels = channels, call.locations = locations;
  call.size[0] = 3, call.size[1] = 2;
  call.transform = transform_arrays(TransformKind::kAffine, 2, {width, height, 1}, {3, 2, 1}, true, false);
  const float theta[6] = {0, 0, 0.5, 0, 0.9f, 0};  // x of all is 1.75; the upper half of them in the first row
  call.transform.theta = theta, call.transform.theta_stride[1] = 3, call.transform.theta_stride[2] = 1;
  for (std::size_t k = 0; k < grad_output.size(); ++k) {
    grad_output[k] = float(k % 13);
    const int64_t p = int64_t(k) % locations, image = int64_t(k) / locations / channels % input_batch;
    const int64_t c = int64_t(k) / locations % channels;
    const double y = ((2 * double(p / width) + 1) / double(height) - 1) * 0.9 + 0.5;
    expected[(image * channels + c) * plane + 3 * int64_t(std::nearbyint(y)) + 2] += grad_output[k];
  }
  call.grad_output = {grad_output.data(), channels * locations, 1, locations};
  call.grad_input = {grad_input.data(), distance, plane, {1, 3}};
  for (int k = 0; k < 2; ++k) grad_input.data()[k] = grad_input.data()[distance + k] = NAN;  // every element is written
  emulation::set_seed(uint64_t(width) % 4);
  CHECK(cuda::grid_sample_backward(call, false, nullptr) == 0, "a launch");
  emulation::set_seed(0);
  for (std::size_t k = 0; k < expected.size(); ++k) {
    const float value = grad_input.data()[int64_t(k) / (channels * plane) * distance + int64_t(k) % (channels * plane)];
    CHECK(value == float(expected[k]), "element %zu: %g, not %g", k, double(value), expected[k]);
  }
}

}  // namespace

int main() {
  check_sampling();
  check_long_runs(3, 100, 2, 0, 1);         // channels that are no multiple of those summed at once
  for (const int64_t channels : {1, 70}) {  // a block is 256 locations wide, or 32 and goes over its channels twice
    for (const int64_t length : {31, 32, 33, 255, 256, 257, 2000}) {
      for (const int64_t first : {0, 5, 500}) check_long_runs(2, channels, 2100 + first, first, first + length);
    }
  }
  check_theta();
  check_many_partial_sums();
  for (const int64_t channels : {1, 9, 70}) {
    for (const int64_t height : {1, 10, 32, 34, 64, 66}) check_gather(2, 2, channels, 32, height);  // 1024 candidates, or more
    check_gather(4, 1, channels, 16, 18), check_gather(4, 2, channels, 1, 2000);
  }
  std::printf("%ld checks passed\n", long(checks_done));
}
