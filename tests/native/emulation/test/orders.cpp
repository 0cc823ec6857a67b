// Which results have the same bits whatever the order of blocks and threads is. csrc/cuda/cuda.h promises it of all but
// grad_input without `deterministic`; those are listed, and have to differ somewhere, which shows that this check can fail.
#include <map>

#include "../../../../csrc/cuda/cuda.h"
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

/// Several blocks share the sum of an image.
void check_affine_grid(Random& random, ScalarType dtype) {
  AffineGridCall call{};
  call.dtype = dtype, call.dims = 2, call.batch = 2, call.size[0] = 130, call.size[1] = 70, call.size[2] = 1;
  const int64_t locations = call.size[0] * call.size[1];
  const auto number = [&] { return random.uniform() * 2 - 1; };
  Strided theta(random, computed_in(dtype), {2, 2, 3}, Role::kInput), grid(random, dtype, {2, 2, locations}, Role::kOutput);
  theta.fill(number);
  call.theta = theta.data();
  std::copy_n(theta.strides.begin(), 3, call.theta_stride);
  call.grid = {grid.data(), grid.strides[0], grid.strides[2], grid.strides[1]};
  compare([&] {
    CHECK(cuda::affine_grid(call, nullptr) == 0, "a launch");
    return Results{{"affine_grid", grid.bytes()}};
  });
  grid.fill(number);
  std::vector<unsigned char> grad_theta(12 * bytes_of(dtype));
  std::vector<double> partial(cuda::affine_grid_partials(call));
  CHECK(int64_t(partial.size()) > 12, "several blocks an image");
  call.grad_theta = grad_theta.data(), call.partial = partial.data();
  compare([&] {
    CHECK(cuda::affine_grid_backward(call, nullptr) == 0, "a launch");
    return Results{{"grad_theta", grad_theta}};
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
    check_affine_grid(random, ScalarType(type));
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
