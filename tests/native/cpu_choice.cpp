// The rows of the table of which kernels serve a call (csrc/cpu/choice.h), and both sides of every number in it.
#include <initializer_list>

#include "../../csrc/core/dispatch.h"
#include "../../csrc/cpu/choice.h"
#include "checks.h"

using namespace stn;
using namespace stn::cpu;

namespace {

enum class Layout { kContiguous, kChannelsLast };

const char* name_of(Applier applier) {
  return applier == Applier::kPlanes ? "planes" : applier == Applier::kLines ? "lines" : "packed lines";
}

#define CHECK_CHOICE(call, choose, expected) \
  CHECK(choose(call) == Applier::expected, "%ld channels: %s", long((call).channels), name_of(choose(call)))

ImageArray image_of(const SampleCall& call, Layout layout) {
  static double data;
  ImageArray image;
  image.data = &data;
  int64_t stride = layout == Layout::kChannelsLast ? call.channels : 1;
  for (int e = 0; e < call.dims; ++e) {
    image.axis_stride[e] = stride;
    stride *= call.size[e];
  }
  image.channel_stride = layout == Layout::kChannelsLast ? 1 : stride;
  image.batch_stride = layout == Layout::kChannelsLast ? stride : stride * call.channels;
  return image;
}

/// Four images, sampled at as many locations as they have pixels.
SampleCall call_of(int64_t channels, Layout layout = Layout::kContiguous, ScalarType dtype = ScalarType::kFloat,
                   std::initializer_list<int64_t> size = {56, 56}) {
  SampleCall call{};
  call.dtype = dtype;
  call.mode = InterpolationMode::kBilinear;
  call.channels = channels;
  set_batch(call, 4);
  call.locations = 1;
  for (const int64_t each : size) {
    call.size[call.dims++] = each;
    call.locations *= each;
  }
  call.input = image_of(call, layout);
  return call;
}

/// ... and its backward, of both gradients.
SampleCall backward_of(SampleCall call, Layout layout = Layout::kContiguous) {
  call.grad_input = image_of(call, layout);
  call.grad_grid.data = call.grad_input.data;
  return call;
}

const ScalarType kTypes[] = {ScalarType::kHalf, ScalarType::kBFloat16, ScalarType::kFloat, ScalarType::kDouble};

void check_channels() {
  for (const ScalarType dtype : kTypes) {
    for (const int64_t channels : {1, 3, 7}) {
      for (const Layout layout : {Layout::kContiguous, Layout::kChannelsLast}) {
        const SampleCall call = call_of(channels, layout, dtype);
        CHECK_CHOICE(call, choose_read, kPlanes);
        CHECK_CHOICE(backward_of(call, layout), choose_gradients, kPlanes);
      }
    }
    for (const int64_t channels : {8, 9, 15, 16, 64}) {
      SampleCall call = call_of(channels, Layout::kContiguous, dtype);
      CHECK_CHOICE(backward_of(call), choose_gradients, kPackedLines);
      if (channels < (dtype == ScalarType::kDouble ? 8 : 16)) {  // no whole line
        CHECK_CHOICE(call, choose_read, kPlanes);
        call.input.axis_stride[0] = 2;
      }
      CHECK_CHOICE(call, choose_read, kPackedLines);
    }
  }
}

void check_channels_last() {
  const Layout last = Layout::kChannelsLast;
  for (const ScalarType dtype : kTypes) {
    const bool is_16_bit = dtype != computed_in(dtype);
    for (const int64_t channels : {8, 16, 24, 40, 48}) {
      const SampleCall call = call_of(channels, last, dtype);
      if (!is_16_bit && channels % (dtype == ScalarType::kDouble ? 8 : 16) == 0) {
        CHECK_CHOICE(call, choose_read, kLines);
        CHECK_CHOICE(backward_of(call, last), choose_gradients, kLines);
      } else {
        CHECK_CHOICE(call, choose_read, kPackedLines);
        CHECK_CHOICE(backward_of(call, last), choose_gradients, kPackedLines);
      }
      CHECK_CHOICE(backward_of(call, Layout::kContiguous), choose_gradients, kPackedLines);  // grad_input's own layout
    }
  }
  SampleCall call = call_of(8);
  call.tangent_input = image_of(call, last);  // whose pixels are apart
  CHECK_CHOICE(call, choose_read, kPackedLines);
  call = call_of(16, last);
  call.tangent_input = image_of(call, Layout::kContiguous);
  CHECK_CHOICE(call, choose_read, kPackedLines);
  call.tangent_input = image_of(call, last);
  CHECK_CHOICE(call, choose_read, kLines);
  call.input.axis_stride[1] += 16;  // rows further apart are lines still, but not grad_input's planes
  CHECK_CHOICE(call, choose_read, kLines);
  CHECK_CHOICE(backward_of(call, last), choose_gradients, kPackedLines);
  call.input = {};  // as where grad_input alone is wanted
  CHECK_CHOICE(call, choose_read, kLines);
}

/// A copy is worth it from some locations on, for each pixel of an image with 8 more an axis; nothing is copied for lines.
void check_locations() {
  const auto at = [](SampleCall call, int64_t locations) {
    call.locations = locations;
    return call;
  };
  const SampleCall call = call_of(16), deep = call_of(16, Layout::kContiguous, ScalarType::kFloat, {8, 24, 24});
  const SampleCall lines = call_of(16, Layout::kChannelsLast);
  CHECK_CHOICE(at(call, 512), choose_read, kPackedLines);  // 64 * 64 / 8
  CHECK_CHOICE(at(call, 511), choose_read, kPlanes);
  CHECK_CHOICE(at(deep, 2048), choose_read, kPackedLines);  // 16 * 32 * 32 / 8
  CHECK_CHOICE(at(deep, 2047), choose_read, kPlanes);
  CHECK_CHOICE(at(lines, 1), choose_read, kLines);
  CHECK_CHOICE(at(backward_of(call), 128), choose_gradients, kPackedLines);  // 64 * 64 / 32
  CHECK_CHOICE(at(backward_of(call), 127), choose_gradients, kPlanes);
  CHECK_CHOICE(at(backward_of(deep), 512), choose_gradients, kPackedLines);
  CHECK_CHOICE(at(backward_of(deep), 511), choose_gradients, kPlanes);
  CHECK_CHOICE(at(backward_of(lines, Layout::kChannelsLast), 1), choose_gradients, kLines);
}

void check_large_planes() {
  const auto sized = [](int64_t x, int64_t y, Layout layout) {
    SampleCall call = call_of(16, layout, ScalarType::kFloat, {x, y});
    call.locations = int64_t(1) << 40;
    return call;
  };
  const int64_t side = 1 << 12;  // a copy has room for 2^24 pixels
  CHECK_CHOICE(sized(side - 8, side - 9, Layout::kContiguous), choose_read, kPackedLines);
  CHECK_CHOICE(sized(side - 8, side - 8, Layout::kContiguous), choose_read, kPlanes);
  CHECK_CHOICE(backward_of(sized(side - 8, side - 8, Layout::kContiguous)), choose_gradients, kPlanes);
  CHECK_CHOICE(sized(side - 8, side - 8, Layout::kChannelsLast), choose_read, kLines);
  CHECK_CHOICE(sized(2 * side, 2 * side, Layout::kChannelsLast), choose_read, kPlanes);  // 2^30 elements, 2^29 are left
  CHECK_CHOICE(backward_of(sized(2 * side, 2 * side, Layout::kChannelsLast), Layout::kChannelsLast), choose_gradients, kPlanes);
  SampleCall call = call_of(16);
  CHECK(fits_32_bits(call), "a small image");
  call.tangent_input.axis_stride[1] = call.grad_input.axis_stride[1] = (int64_t(1) << 29) / 64;
  for (ImageArray* image : {&call.tangent_input, &call.grad_input}) {
    const int64_t stride = image->axis_stride[1];
    CHECK(!fits_32_bits(call), "(56 + 8) rows of %ld", long(stride));
    CHECK_CHOICE(call, choose_read, kPlanes);
    image->axis_stride[1] = 0;
  }
  CHECK(fits_32_bits(call), "a small image again");
  call.size[1] = INT32_MAX / 2;  // positions beyond 32 bits, though no pixel is elsewhere
  call.input.axis_stride[1] = 0;
  CHECK(!fits_32_bits(call), "%ld rows", long(call.size[1]));
  CHECK_CHOICE(call, choose_read, kPlanes);
  --call.size[1];
  CHECK(fits_32_bits(call), "%ld rows", long(call.size[1]));
}

void check_broadcasts() {
  for (const Layout layout : {Layout::kContiguous, Layout::kChannelsLast}) {
    const Applier of_lines = layout == Layout::kContiguous ? Applier::kPackedLines : Applier::kLines;
    SampleCall call = backward_of(call_of(16, layout), layout);
    call.input_batch = 1;
    CHECK_CHOICE(call, choose_gradients, kPlanes);
    CHECK(choose_read(call) == of_lines, "nothing is summed into an image that is read: %s", name_of(choose_read(call)));
    call.input_batch = call.batch, call.grid_batch = 1;
    CHECK_CHOICE(call, choose_gradients, kPlanes);
    call.grad_grid = {};
    CHECK(choose_gradients(call) == of_lines, "no gradient of one grid is wanted: %s", name_of(choose_gradients(call)));
    call.transform.grad_flow.data = &call;
    CHECK_CHOICE(call, choose_gradients, kPlanes);
    call.transform.grad_flow.data = nullptr, call.transform.grad_theta = &call;
    CHECK_CHOICE(call, choose_gradients, kPlanes);
  }
}

void check_modes() {
  for (const auto& mode : kInterpolationModes) {
    SampleCall call = backward_of(call_of(16));
    call.mode = mode.value;
    CHECK_CHOICE(call, choose_read, kPackedLines);
    if (mode.value == InterpolationMode::kNearest) {  // it is zeros
      CHECK_CHOICE(call, choose_gradients, kPlanes);
      call.grad_grid = {};
    }
    CHECK_CHOICE(call, choose_gradients, kPackedLines);
  }
}

void check_both_at_once() {
  const auto of_three = [](auto&& alter) {
    SampleCall call = backward_of(call_of(3));
    call.threads = 4;
    alter(call);
    return call;
  };
  const auto altered = [&](auto&& alter) { return can_take_both(of_three(alter)); };
  CHECK(altered([](SampleCall&) {}), "four images");
  CHECK(altered([](SampleCall& call) { set_batch(call, 2); }), "two");
  CHECK(altered([](SampleCall& call) { call.mode = InterpolationMode::kBicubic; }), "bicubic");
  CHECK(altered([](SampleCall& call) { call.grad_grid = {}, call.transform.grad_theta = &call; }), "theta's gradient");
  CHECK(altered([](SampleCall& call) { call.input.channel_stride = 0; }), "planes alike, wherever they are");
  CHECK(altered([](SampleCall& call) { call.size[1] = 1, call.input.axis_stride[1] = 77; }), "a stride that nothing takes");
  const auto images = [&](int64_t count) { return of_three([=](SampleCall& call) { set_batch(call, count); }); };
  CHECK(can_take_both(images(1)) && !takes_both_by_image(images(1)), "one image for four threads");
  CHECK(takes_both_by_image(images(2)), "two are units enough");
  CHECK(!altered([](SampleCall& call) { call.mode = InterpolationMode::kNearest; }), "nearest has one gradient");
  CHECK(!altered([](SampleCall& call) { call.grad_input = {}; }), "the source's alone");
  CHECK(!altered([](SampleCall& call) { call.grad_grid = {}; }), "grad_input alone");
  CHECK(!altered([](SampleCall& call) { call.input_batch = 1; }), "one input");
  CHECK(!altered([](SampleCall& call) { call.grid_batch = 1; }), "one grid");
  CHECK(!altered([](SampleCall& call) { call.input.axis_stride[1] = 77; }), "rows further apart than grad_input's");
}

void check_reading_beside_gradients() {
  SampleCall call = backward_of(call_of(3));
  CHECK(can_read_beside(call), "planes, read and added to");
  SampleCall other = call;
  other.grad_input = {};
  CHECK(!can_read_beside(other), "the source's gradient alone is summed for all images of a grid");
  other = call;
  other.mode = InterpolationMode::kNearest;
  CHECK(!can_read_beside(other), "nearest has one gradient");
  CHECK(!can_read_beside(backward_of(call_of(16))), "lines");
  other = backward_of(call_of(16));
  other.locations = other.pixels() / 16;
  CHECK_CHOICE(other, choose_read, kPlanes);
  CHECK_CHOICE(other, choose_gradients, kPackedLines);
  CHECK(!can_read_beside(other), "read in planes, but gradients by lines");
}

void check_scratch() {
  const auto parts = [](const SampleCall& call, int64_t groups) {
    return call.batch * groups * call.locations * call.dims * int64_t(sizeof(float));
  };
  SampleCall call = backward_of(call_of(32));
  CHECK(gradients_scratch(call) == parts(call, 2), "two lines of an image, and few images");
  CHECK(gradients_scratch(backward_of(call_of(16))) == 0, "one line");
  set_batch(call = backward_of(call_of(32)), 16);
  CHECK(gradients_scratch(call) == 0, "as many images as units are wanted");
  set_batch(call = backward_of(call_of(32, Layout::kChannelsLast)), 4);
  call.grad_input = {};
  CHECK_CHOICE(call, choose_gradients, kLines);
  CHECK(gradients_scratch(call) == 0, "pixels of four images are not cut");
  set_batch(call = backward_of(call_of(32, Layout::kChannelsLast)), 2);  // lines, but for grad_input
  call.locations = 9;
  CHECK_CHOICE(call, choose_gradients, kPlanes);
  CHECK(gradients_scratch(call) >= parts(call, 2), "the double backward leaves grad_input out");
  set_batch(call = backward_of(call_of(3, Layout::kContiguous, ScalarType::kFloat, {224, 224})), 1);
  CHECK(gradients_scratch(call) == 0, "one thread wants no parts");
  call.threads = 4;
  CHECK(LocationParts(call).parts == 4, "one image's locations are cut for four");
  CHECK(gradients_scratch(call) == LocationParts(call).bytes(), "who adds where");
}

/// Nothing else is looked at: not where data is, nor the threads, nor the rest of what is wanted.
void check_streams() {
  const int64_t kept = int64_t(1) << 22;  // floats in 16 MiB
  SampleCall call = backward_of(call_of(16));
  call.batch = call.input_batch = 1;
  call.locations = kept / 16;
  CHECK(!streams_result(call), "16 MiB of output");
  call.locations += 1;
  CHECK(streams_result(call), "a location more");
  call.dtype = ScalarType::kHalf;
  CHECK(!streams_result(call), "half of it");
  call.size[0] = 512, call.size[1] = 512;
  CHECK(!streams_grad_input(call), "16 MiB of grad_input, which isn't of 16 bits");
  call.size[1] = 513;
  CHECK(streams_grad_input(call), "a row more");
}

void check_nothing_else() {
  alignas(64) static char elsewhere[65];
  for (const Layout layout : {Layout::kContiguous, Layout::kChannelsLast}) {
    SampleCall call = backward_of(call_of(16, layout), layout), moved = call;
    moved.input.data = moved.grad_input.data = elsewhere + 1;
    moved.input.batch_stride = 0;
    moved.output = {elsewhere, 3, 5, 7, true};
    moved.coordinates = kCoordinateConventions[1].value;
    CHECK(choose_read(call) == choose_read(moved), "%s", name_of(choose_read(moved)));
    CHECK(choose_gradients(call) == choose_gradients(moved), "%s", name_of(choose_gradients(moved)));
    CHECK(takes_both_by_image(call) == takes_both_by_image(moved), "both at once");
  }
}

}  // namespace

int main() {
  check_channels();
  check_channels_last();
  check_locations();
  check_large_planes();
  check_broadcasts();
  check_modes();
  check_both_at_once();
  check_reading_beside_gradients();
  check_scratch();
  check_streams();
  check_nothing_else();
  std::printf("%ld checks passed\n", long(checks_done));
  return 0;
}
