// Which results have the same bits whatever the order of blocks and threads is. csrc/cuda/cuda.h promises it of all but
// grad_input without `deterministic`; those are listed, and have to differ somewhere, which shows that this check can fail.
#include <map>

#include "../../../../csrc/cuda/cuda.h"
#include "../../transform_arrays.h"
#include "emulation.h"
#include "scratch.h"
#include "strided.h"

using namespace stn;

namespace {

constexpr uint64_t kSeeds = 6;  // of block and thread order, 0 is the natural one

struct Tally {
  bool promised;
  int compared = 0, differing = 0;  // calls
};
std::map<std::string, Tally> tallies;

using Results = std::map<std::string, std::vector<unsigned char>>;

/// run() under every order.
template <typename F>
void compare(F&& run) {
  Results first;
  std::map<std::string, bool> differs;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    emulation::set_seed(seed);
    const Results results = run();
    if (seed == 0) first = results;
    for (const auto& [name, bytes] : results) differs[name] = differs[name] || bytes != first[name];
  }
  for (const auto& [name, differing] : differs) {
    const bool promised = name.find("by atomics") == std::string::npos;
    Tally& tally = tallies.try_emplace(name, Tally{promised}).first->second;
    ++tally.compared, tally.differing += differing;
    CHECK(!(promised && differing), "%s depends on the order of threads", name.c_str());
  }
}

/// Where locations are: all over the image and beyond, all at one point of it, or all out of it.
enum class Where { kSpread, kOnePoint, kOutside };

/// All results of the sampler. Most locations are far more than one to a pixel.
void check_sampling(Random& random, ScalarType dtype, InterpolationMode mode, int64_t channels, int dims,
                    Where where = Where::kSpread) {
  SampleCall call{};
  call.dtype = dtype, call.mode = mode, call.dims = dims;
  pad_alike(call, kPaddingModes[random.below(std::size(kPaddingModes))].value);
  set_batch(call, 2);
  call.channels = channels, call.locations = 300;
  int64_t size[kMaxDims] = {1, 1, 1};
  for (int e = 0; e < dims; ++e) size[e] = 3 + e;
  std::copy_n(size, kMaxDims, call.size);
  const ScalarType computed = computed_in(dtype);
  const std::vector<int64_t> image{call.batch, channels, size[0], size[1], size[2]},
      outputs{call.batch, channels, call.locations};
  const std::vector<int64_t> grids{call.batch, dims, call.locations};
  // Of one layout each, and filled anew for every run.
  const auto input = [&](ScalarType type, const std::vector<int64_t>& shape) {
    Strided array(random, type, shape, Role::kOutput);
    array.fill([&] { return random.uniform() * 2 - 1; });
    return std::optional<Strided>(std::move(array));
  };
  const auto pixels = input(dtype, image), grad_output = input(dtype, outputs);
  auto grid = input(computed, grids);
  if (where != Where::kSpread) grid->fill([&] { return where == Where::kOnePoint ? 0.1 : 9.0; });
  if (where == Where::kOutside) pad_alike(call, PaddingMode::kZeros);
  const auto tangent_input = input(dtype, image), tangent_grid = input(computed, grids);
  auto output = input(dtype, outputs), grad_input = input(computed, image), grad_grid = input(computed, grids);
  call.input = image_array(pixels), call.grid = location_array(grid, computed);
  call.grad_output = location_array(grad_output, dtype);
  const auto clear = [&] { grad_input->fill([] { return 0.0; }); };

  SampleCall forward = call;
  forward.output = location_array(output, dtype);
  compare([&] {
    CHECK(cuda::grid_sample(forward, nullptr) == 0, "a launch");
    return Results{{"output", output->bytes()}};
  });
  call.grad_input = image_array(grad_input), call.grad_grid = location_array(grad_grid, computed);
  for (const bool deterministic : {false, true}) {
    const std::string how = deterministic ? ", deterministic" : ", by atomics";
    compare([&] {
      clear();
      const auto scratch = scratch_for(call, deterministic);
      CHECK(cuda::grid_sample_backward(call, deterministic, nullptr) == 0, "a launch");
      return Results{{"grad_input" + how, grad_input->bytes()}, {"grad_grid", grad_grid->bytes()}};
    });
    SampleCall second = call;
    second.tangent_input = image_array(tangent_input), second.tangent_grid = location_array(tangent_grid, computed);
    second.grad_grad_output = location_array(output, dtype);
    compare([&] {
      clear();
      const auto scratch = scratch_for(second, deterministic);
      CHECK(cuda::grid_sample_double_backward(second, deterministic, nullptr) == 0, "a launch");
      Results results{{"second grad_grid", grad_grid->bytes()}, {"grad_grad_output", output->bytes()}};
      // The second derivative by a nearest pixel is 0: nothing is added, in no order.
      if (mode != InterpolationMode::kNearest) results["second grad_input" + how] = grad_input->bytes();
      return results;
    });
  }
}

/// A transform of two images, or of one for both, with what it takes: a theta that zooms by `zoom`, or a flow.
struct Transformed {
  TransformArrays arrays;
  int64_t batch;
  ScalarType computed;
  std::optional<Strided> parameters, tangent;

  Transformed(Random& random, ScalarType computed, TransformArrays given, int64_t batch, double zoom)
      : arrays(given), batch(batch), computed(computed) {
    for (auto* array : {&parameters, &tangent}) {
      array->emplace(random, computed, shape(), Role::kOutput);
      int64_t k = 0;
      (*array)->fill([&] {
        const bool last_row = k++ / (arrays.dims + 1) % arrays.rows() == arrays.dims;
        const double any = random.uniform() * 2 - 1;
        return is_flow() || !last_row ? zoom * any : k % (arrays.dims + 1) == 0 ? 1 : 0.5 * any;
      });
    }
    arrays.theta = parameters->data(), arrays.tangent_theta = tangent->data();
    std::copy_n(parameters->strides.begin(), 3, arrays.theta_stride);
    std::copy_n(tangent->strides.begin(), 3, arrays.tangent_stride);
    if (batch == 1) arrays.theta_stride[0] = arrays.tangent_stride[0] = 0;
    if (!is_flow()) return;
    arrays.theta = arrays.tangent_theta = nullptr;
    arrays.flow = location_array(parameters, computed), arrays.tangent_flow = location_array(tangent, computed);
    if (batch == 1) arrays.flow.batch_stride = arrays.tangent_flow.batch_stride = 0;
  }

  bool is_flow() const { return arrays.kind == TransformKind::kFlow; }
  std::vector<int64_t> shape() const {
    if (is_flow()) return {batch, arrays.dims, arrays.locations()};
    return {batch, arrays.rows(), arrays.dims + 1};
  }
  int64_t count() const { return parameters->count(); }

  /// The gradient's name, and what run(arrays) makes of it.
  template <typename F>
  std::pair<std::string, std::vector<unsigned char>> gradient(int64_t partials, ScalarType dtype, F&& run) const {
    std::vector<unsigned char> bytes(count() * bytes_of(is_flow() ? computed : dtype), 0xff);
    std::vector<double> partial(is_flow() ? 0 : partials, NAN);
    TransformArrays given = arrays;
    if (is_flow()) {
      given.grad_flow = {bytes.data(), batch == 1 ? 0 : arrays.dims * arrays.locations(), 1, arrays.locations(), false};
    } else {
      given.grad_theta = bytes.data(), given.partial = partial.data();
    }
    run(given);
    return {is_flow() ? "grad_flow" : "grad_theta", bytes};
  }
};

/// The generators. Several blocks share the sum of an image.
void check_transform_grid(Random& random, ScalarType dtype, TransformKind kind) {
  TransformGridCall call{};
  call.dtype = dtype, call.batch = 2;
  const int64_t size[kMaxDims] = {130, 70, 1};
  const Transformed transform(random, computed_in(dtype), transform_arrays(kind, 2, size, size, false, false), 2, 1);
  Strided grid(random, dtype, {2, 2, transform.arrays.locations()}, Role::kOutput);
  call.grid = location_array(grid, dtype);
  for (const bool along : {false, true}) {
    call.transform = transform.arrays, call.along_tangent = along;
    compare([&] {
      CHECK(cuda::transform_grid(call, nullptr) == 0, "a launch");
      return Results{{"transform_grid", grid.bytes()}};
    });
  }
  grid.fill([&] { return random.uniform() * 2 - 1; });
  CHECK(cuda::theta_partials(call) > 2 * 9, "several blocks an image");
  for (const bool along : {false, true}) {
    call.along_tangent = along;
    compare([&] {
      return Results{transform.gradient(cuda::theta_partials(call), dtype, [&](const TransformArrays& given) {
        call.transform = given;
        CHECK(cuda::transform_grid_backward(call, nullptr) == 0, "a launch");
      })};
    });
  }
}

/// The sampler with a transform. `zoom`: 1, or so little that all locations read about one pixel.
void check_transform_sample(Random& random, ScalarType dtype, TransformKind kind, InterpolationMode mode, int64_t channels,
                            double zoom, bool share) {
  SampleCall call{};
  call.dtype = dtype, call.mode = mode, call.dims = 2;
  call.coordinates = random.below(2) ? CoordinateConvention::kPixels : CoordinateConvention::kCentrePixels;
  pad_alike(call, random.below(2) ? PaddingMode::kZeros : PaddingMode::kBorder);
  set_batch(call, 2);
  if (share) (random.below(2) ? call.input_batch : call.grid_batch) = 1;
  call.channels = channels, call.size[0] = 4, call.size[1] = 3, call.size[2] = 1;
  const bool at_one_pixel = zoom < 1;  // so many that a block gathers them
  const int64_t size[kMaxDims] = {at_one_pixel ? 41 : 19, at_one_pixel ? 31 : 13, 1};
  const ScalarType computed = computed_in(dtype);
  const bool centres = call.coordinates == CoordinateConvention::kCentrePixels;
  const Transformed transform(random, computed, transform_arrays(kind, 2, size, call.size, true, centres), call.grid_batch,
                              zoom);
  call.transform = transform.arrays, call.locations = transform.arrays.locations();
  const auto filled = [&](ScalarType type, const std::vector<int64_t>& shape) {
    Strided array(random, type, shape, Role::kOutput);
    array.fill([&] { return random.uniform() * 2 - 1; });
    return std::optional<Strided>(std::move(array));
  };
  const std::vector<int64_t> image{call.input_batch, channels, call.size[0], call.size[1], 1},
      outputs{call.batch, channels, call.locations};
  const auto pixels = filled(dtype, image), grad_output = filled(dtype, outputs);
  auto output = filled(dtype, outputs), grad_input = filled(computed, image);
  call.input = image_array(pixels);
  if (call.input_batch == 1) call.input.batch_stride = 0;
  call.output = location_array(output, dtype);
  compare([&] {
    CHECK(cuda::grid_sample(call, nullptr) == 0, "a launch");
    return Results{{"output of a transform", output->bytes()}};
  });
  call.output = {}, call.grad_output = location_array(grad_output, dtype);
  call.grad_input = image_array(grad_input);
  if (call.input_batch == 1) call.grad_input.batch_stride = 0;
  compare([&] {
    grad_input->fill([] { return 0.0; });
    const auto gradient = transform.gradient(cuda::theta_partials(call), computed, [&](const TransformArrays& given) {
      call.transform = given;
      CHECK(cuda::grid_sample_backward(call, false, nullptr) == 0, "a launch");
    });
    return Results{gradient, {transform.is_flow() ? "grad_input, by atomics" : "grad_input of a theta", grad_input->bytes()}};
  });
}

}  // namespace

int main() {
  Random random{11};
  for (int type = 0; type < 4; ++type) {
    for (const auto& mode : kInterpolationModes) {
      check_sampling(random, ScalarType(type), mode.value, 3, 2);  // a thread has all channels of a location
      check_sampling(random, ScalarType(type), mode.value, 9, 2);  // several threads share them
    }
    check_sampling(random, ScalarType(type), InterpolationMode::kBilinear, 9, 1);
    check_sampling(random, ScalarType(type), InterpolationMode::kBilinear, 2, 3);
    for (const auto& kind : kTransformKinds) {
      check_transform_grid(random, ScalarType(type), kind.value);
      for (const auto& mode : kInterpolationModes) {
        check_transform_sample(random, ScalarType(type), kind.value, mode.value, 2, 0.05, false);  // a thread has all channels
        check_transform_sample(random, ScalarType(type), kind.value, mode.value, 9, 1, type % 2);
      }
    }
  }
  int calls = 0;
  for (const auto& mode : kInterpolationModes) {
    for (int dims = 1; dims <= kMaxDims; ++dims) {
      for (const Where where : {Where::kSpread, Where::kOnePoint, Where::kOutside}) {
        const int64_t limit = cuda::use_index_limit(calls % 2);  // 64 bits, or 32
        check_sampling(random, ScalarType(calls++ % 4), mode.value, dims == 2 ? 9 : 2, dims, where);
        cuda::use_index_limit(limit);
      }
    }
  }
  for (const auto& [name, tally] : tallies) {
    std::printf("%s: %s, %d of %d calls differ under %d orders\n", name.c_str(), tally.promised ? "promised" : "not promised",
                tally.differing, tally.compared, int(kSeeds));
    CHECK(tally.promised || tally.differing > 0, "%s never differs: nothing shows that this check can fail", name.c_str());
  }
  std::printf("%ld checks passed\n", long(checks_done));
}
