// How a call is spread over threads and how wide its indices are: csrc/cuda/mapping.h and launch.h, pure functions of numbers.
#include "../../../../csrc/cuda/mapping.h"

#include <vector>

#include "../../../../csrc/core/dispatch.h"
#include "../../../../csrc/cuda/launch.h"
#include "../../../../csrc/cuda/location_sort.h"
#include "../../checks.h"

using namespace stn;
using namespace stn::cuda;

namespace {

using int128 = __int128;
constexpr int64_t kNarrow = INT32_MAX / 2;  // by_dtype.cu: below it a call takes 32-bit indices

/// Blocks of `columns` things cover `count` and none is empty.
void check_cover(int64_t blocks, int64_t columns, int64_t count) {
  CHECK(int128(blocks) * columns >= count, "%ld blocks of %ld for %ld", long(blocks), long(columns), long(count));
  CHECK(int128(blocks - 1) * columns < count, "%ld blocks of %ld for %ld", long(blocks), long(columns), long(count));
}

/// What ThreadVisit makes of a Mapping: each location and channel has one thread.
void check_every_channel_once(int64_t locations, int64_t channels) {
  const Mapping mapping = mapping_for(locations, channels);
  std::vector<int> visits(locations * channels);
  for (int64_t block = 0; block < mapping.blocks; ++block) {
    for (int row = 0; row < mapping.rows; ++row) {
      for (int column = 0; column < mapping.columns; ++column) {
        const int64_t location = block * mapping.columns + column;
        for (int64_t c = row; c < channels && location < locations; c += mapping.rows) ++visits[location * channels + c];
      }
    }
  }
  for (const int count : visits) CHECK(count == 1, "%ld locations, %ld channels", long(locations), long(channels));
}

void check_mappings(Random& random) {
  std::vector<int64_t> numbers{1, 2, 31, 32, 33, 255, 256, 257, 131071, 131072, 131073};
  for (const int64_t power : {int64_t(1) << 31, int64_t(1) << 32, int64_t(1) << 38}) {
    for (const int64_t beside : {-1, 0, 1}) numbers.push_back(power + beside);
  }
  for (int k = 0; k < 1000; ++k) numbers.push_back(1 + random.below(int64_t(1) << (1 + random.below(38))));
  for (const int64_t locations : numbers) {
    check_cover(blocks_for(locations), kThreads, locations);
    for (const int64_t channels : {1, 7, 8, 9, 64, 100000}) {
      const Mapping mapping = mapping_for(locations, channels);
      check_cover(mapping.blocks, mapping.columns, locations);
      CHECK(mapping.columns * mapping.rows == kThreads, "%d columns, %d rows", mapping.columns, mapping.rows);
      CHECK(mapping.rows == 1 || mapping.rows == kChannelRows, "store_row_sum sums %d rows", mapping.rows);
      CHECK(mapping.rows <= channels, "%d rows for %ld channels", mapping.rows, long(channels));
      CHECK((mapping.rows > 1) == (channels >= 8 && locations < 131072), "rows where locations are few and channels many");
      CHECK(mapping.blocks <= INT32_MAX, "a launch has %ld blocks", long(mapping.blocks));
      // 32-bit indices are taken up to kNarrow locations, and the threads behind the last one have a number, too.
      if (locations < kNarrow) CHECK(mapping.blocks * mapping.columns <= INT32_MAX, "%ld locations", long(locations));
    }
  }
  for (int k = 0; k < 300; ++k) check_every_channel_once(1 + random.below(600), 1 + random.below(30));
  check_every_channel_once(131072, 9);
}

/// The bits of a stride or a size, all as likely.
int64_t any_number(Random& random, int bits) { return random.below(int64_t(1) << random.below(bits + 1)); }

/// A call whose arrays are all there, with strides of any size.
SampleCall any_call(Random& random, int bits) {
  static char something;
  SampleCall call{};
  call.dims = 1 + int(random.below(kMaxDims));
  set_batch(call, 1 + any_number(random, bits / 2));
  call.channels = 1 + any_number(random, bits / 2);
  call.locations = 1 + any_number(random, bits / 2);
  for (int e = 0; e < call.dims; ++e) call.size[e] = 1 + any_number(random, bits / (call.dims + 1));
  const auto stride = [&] { return any_number(random, bits); };
  for (ImageArray* image : {&call.input, &call.grad_input, &call.tangent_input}) {
    *image = {&something, stride(), stride(), {stride(), stride(), stride()}};
  }
  for (LocationArray* array :
       {&call.grid, &call.output, &call.grad_output, &call.grad_grid, &call.tangent_grid, &call.grad_grad_output}) {
    *array = {&something, stride(), stride(), stride(), false};
  }
  return call;
}

/// The index of an image's last element, or the last element's of [N, components, P].
int128 last_of(const ImageArray& image, const SampleCall& call) {
  int128 last = int128(call.batch - 1) * image.batch_stride + int128(call.channels - 1) * image.channel_stride;
  for (int e = 0; e < call.dims; ++e) last += int128(call.size[e] - 1) * image.axis_stride[e];
  return last;
}
int128 last_of(const LocationArray& array, int64_t batch, int64_t components, int64_t locations) {
  return int128(batch - 1) * array.batch_stride + int128(components - 1) * array.component_stride +
         int128(locations - 1) * array.location_stride;
}

/// largest_index is above every index and count of a call, array by array: with all others absent, too.
void check_largest_index(Random& random) {
  for (int k = 0; k < 20000; ++k) {
    SampleCall call = any_call(random, 18 + int(random.below(20)));
    const SampleCall all = call;
    for (ImageArray* image : {&call.input, &call.grad_input, &call.tangent_input}) image->data = nullptr;
    for (LocationArray* array :
         {&call.grid, &call.output, &call.grad_output, &call.grad_grid, &call.tangent_grid, &call.grad_grad_output}) {
      array->data = nullptr;
    }
    const int64_t counts = largest_index(call);
    CHECK(counts >= call.batch * call.locations && counts >= call.channels && counts >= call.size[call.dims - 1], "counts");
    int64_t pixels = call.input_batch;
    for (int e = 0; e < call.dims; ++e) pixels *= call.size[e];
    CHECK(counts >= pixels, "pixels, of which a thread each may own one");
    CHECK(counts <= std::max({call.batch * call.locations, call.channels, call.size[0], call.size[1], call.size[2], pixels}),
          "an absent array has no extent");
    const auto check = [&](auto SampleCall::* member, auto&&... sizes) {
      (call.*member).data = (all.*member).data;
      const int64_t largest = largest_index(call);
      (call.*member).data = nullptr;
      CHECK(largest > last_of(call.*member, sizes...), "array %ld", long(checks_done));
      CHECK(largest_index(all) >= largest, "all arrays together");
    };
    check(&SampleCall::input, call), check(&SampleCall::grad_input, call), check(&SampleCall::tangent_input, call);
    for (const auto member : {&SampleCall::output, &SampleCall::grad_output, &SampleCall::grad_grad_output}) {
      check(member, call.batch, call.channels, call.locations);
    }
    for (const auto member : {&SampleCall::grid, &SampleCall::grad_grid, &SampleCall::tangent_grid}) {
      check(member, call.batch, call.dims, call.locations);
    }
  }
}

/// A transform of any kind and size whose arrays are all there.
TransformArrays any_transform(Random& random, int bits) {
  static char something;
  TransformArrays transform;
  transform.kind = kTransformKinds[random.below(std::size(kTransformKinds))].value;
  transform.dims = 2 + int(random.below(2));
  for (int e = 0; e < transform.dims; ++e) transform.size[e] = 1 + any_number(random, bits / transform.dims);
  const auto stride = [&] { return any_number(random, bits); };
  if (transform.kind == TransformKind::kFlow) {
    for (LocationArray* array : {&transform.flow, &transform.tangent_flow, &transform.grad_flow})
      *array = {&something, stride(), stride(), stride(), false};
  } else {
    transform.theta = transform.tangent_theta = transform.grad_theta = &something;
    for (int i = 0; i < 3; ++i) transform.theta_stride[i] = stride(), transform.tangent_stride[i] = stride();
  }
  return transform;
}

int128 last_of(const TransformArrays& transform, const int64_t (&stride)[3], int64_t batch) {
  return int128(batch - 1) * stride[0] + int128(transform.rows() - 1) * stride[1] + int128(transform.dims) * stride[2];
}

/// largest_index of both calls is above every index into a transform's arrays.
void check_transform_indices(Random& random) {
  for (int k = 0; k < 20000; ++k) {
    TransformGridCall grid{};
    grid.transform = any_transform(random, 18 + int(random.below(15)));
    const TransformArrays& transform = grid.transform;
    const int64_t locations = transform.locations();
    grid.batch = 1 + any_number(random, 25);
    static char something;
    if (random.below(2))
      grid.grid = {&something, any_number(random, 30), any_number(random, 30), any_number(random, 30), false};
    SampleCall sample{};
    sample.dims = transform.dims, sample.channels = 1, sample.locations = locations, sample.transform = transform;
    set_batch(sample, grid.batch);
    const int64_t largest = largest_index(grid), of_sample = largest_index(sample);
    CHECK(largest >= grid.batch * locations && of_sample >= grid.batch * locations, "threads");
    if (grid.grid.data) CHECK(largest > last_of(grid.grid, grid.batch, transform.dims, locations), "the grid's last element");
    for (const LocationArray* flow : {&transform.flow, &transform.tangent_flow, &transform.grad_flow}) {
      if (!flow->data) continue;
      const int128 last = last_of(*flow, grid.batch, transform.dims, locations);
      CHECK(largest > last, "a flow's last element");
      if (flow != &transform.tangent_flow) CHECK(of_sample > last, "a flow's last element, of the sampler");
    }
    const int128 theta = last_of(transform, transform.theta_stride, grid.batch);
    const int128 tangent = last_of(transform, transform.tangent_stride, grid.batch);
    CHECK(largest > theta || theta == 0, "theta's last element");
    CHECK(largest > tangent || tangent == 0, "the last element of theta's tangent");
    CHECK(of_sample > theta || theta == 0, "theta's last element, of the sampler");
    check_cover(blocks_of_image(grid), 16 * kThreads, locations);
  }
}

/// A block of a transform's call has locations of one image: each location and channel of every image has one thread, and
/// blocks are counted as ThreadVisit counts them. A grid's call goes over the images' ends.
void check_blocks_of_images(Random& random) {
  for (int k = 0; k < 20000; ++k) {
    SampleCall call{};
    call.dims = 2;
    call.channels = 1 + random.below(random.below(2) ? 8 : 100);
    call.locations = 1 + any_number(random, 24);
    const int64_t images = 1 + any_number(random, 10);
    set_batch(call, images);
    const Mapping mapping = mapping_for(images * call.locations, call.channels);
    const int64_t blocks = blocks_of_image(call, images);
    check_cover(blocks, mapping.columns, call.locations);
    const cuda::LaunchShape of_grid = location_shape(call, images);
    CHECK(of_grid.blocks.x == mapping.blocks && of_grid.threads.x == unsigned(mapping.columns), "a grid's call");
    call.transform = any_transform(random, 20);
    const cuda::LaunchShape shape = location_shape(call, images);
    CHECK(shape.blocks.x == images * blocks && shape.blocks.y == 1, "%u blocks of %ld", shape.blocks.x, long(images * blocks));
    CHECK(shape.threads.x == unsigned(mapping.columns) && shape.threads.y == unsigned(mapping.rows), "a block's shape");
    CHECK(int128(images) * blocks * mapping.columns < int128(images) * (call.locations + mapping.columns), "idle blocks");
  }
}

/// A sort's keys fit as its indices do, where images are many and small, too.
void check_bins() {
  SampleCall call{};
  call.dims = 3, call.batch = call.input_batch = 1000, call.size[0] = 1, call.size[1] = 2, call.size[2] = 3;
  call.mode = InterpolationMode::kBilinear;
  CHECK(bins_of(call) == 1000 * 2 * 3 * 4, "a cell before the first pixel: %ld", long(bins_of(call)));
  for (const auto mode : {InterpolationMode::kNearest, InterpolationMode::kBicubic}) {
    call.mode = mode;
    CHECK(bins_of(call) == 1000 * 6, "a bin a pixel: %ld", long(bins_of(call)));
  }
  call.dims = 2;
  CHECK(bins_of(call) == 1000 * 2, "only the axes that there are: %ld", long(bins_of(call)));
  call.mode = InterpolationMode::kBilinear, call.batch = call.input_batch = int64_t(1) << 30, call.size[1] = 1;
  CHECK(largest_sorted_index(call) == int64_t(1) << 32, "%ld", long(largest_sorted_index(call)));
  call.batch = call.input_batch = 1, call.locations = 1000;
  CHECK(largest_sorted_index(call) == 1000, "%ld", long(largest_sorted_index(call)));
}

/// Dense images of a few megabytes take 32-bit indices.
void check_usual_calls_are_narrow() {
  static char something;
  SampleCall call{};
  call.dims = 2, call.batch = 16, call.channels = 64, call.locations = 256 * 256, call.size[0] = call.size[1] = 256;
  call.input = {&something, 64 * 65536, 65536, {1, 256}};
  call.output = {&something, 64 * 65536, 1, 65536, false};
  CHECK(largest_index(call) < kNarrow, "67 million elements");
}

}  // namespace

int main() {
  Random random{7};
  check_mappings(random);
  check_largest_index(random);
  check_transform_indices(random);
  check_blocks_of_images(random);
  check_bins();
  check_usual_calls_are_narrow();
  std::printf("%ld checks passed\n", long(checks_done));
}
