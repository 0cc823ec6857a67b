// The launchers of csrc/cuda/cuda.h over shapes, strides, dtypes, modes and grids drawn by chance, against the definition.
//
//   fuzz [calls] [seed] [first call]       a failure names the call; it is drawn anew from the seed and its number alone
//   fuzz [calls] [seed] [first call] NAME  the array of this name lacks its last element: AddressSanitizer has to say so
//
// The generator is this program's own and not hypothesis: calls are plain structs that run under sanitizers at two
// milliseconds each, which an interpreter would have to be started under, too; and shrinking is of little use where the number
// of a call is enough to see it again.
#include <sanitizer/common_interface_defs.h>

#include "fuzz_fill.h"
#include "fuzz_transform_grid.h"
#include "fuzz_transform_sample.h"
#include "scratch.h"

using namespace stn;

namespace {

constexpr int64_t kElements = 4096, kWork = 6000;  // of an image; taps of all channels of all locations

/// Off the kinks of every mode (an eighth of a pixel and a bit), inside of the image and outside, or not finite.
double coordinate_off_kinks(Random& random, int64_t size, CoordinateConvention convention, ScalarType type) {
  if (random.below(24) == 0) {
    const double largest = type == ScalarType::kDouble ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
    const double far[] = {NAN, INFINITY, -INFINITY, largest, -largest, 1e30, -1e30};
    return far[random.below(std::size(far))];
  }
  const double pixel = double(random.below(4 * size + 8)) * 0.5 - double(size) * 0.5 - 2 + 0.15 + 0.2 * random.uniform();
  if (definition::are_pixels(convention)) return pixel;
  const bool centres = definition::are_centres(convention);
  if (centres && size == 1) return random.uniform() * 4 - 2;
  return centres ? 2 * pixel / double(size - 1) - 1 : (2 * pixel + 1) / double(size) - 1;
}

/// One call of the sampler: the arrays that it has, and what has to come out.
class Sampling {
 public:
  explicit Sampling(Random& random) : random_(random) {
    call_.dims = draw_dims(random);
    call_.dtype = draw_dtype(random);
    call_.mode = any_of(random, kInterpolationModes);
    const bool alike = random.below(2);
    for (PaddingMode& axis : call_.padding) axis = any_of(random, kPaddingModes);
    if (alike) pad_alike(call_, call_.padding[0]);
    filled_ = random.below(3) == 0;
    call_.coordinates = any_of(random, kCoordinateConventions);
    set_batch(call_, 1 + random.below(3));
    if (random.below(4) == 0) (random.below(2) ? call_.input_batch : call_.grid_batch) = 1;
    call_.channels = 1 + random.below(20);
    draw_sizes(random, call_.dims, kElements / (call_.batch * call_.channels) + 1, call_.size);
    const double taps = std::pow(call_.mode == InterpolationMode::kBicubic ? 4 : 2, call_.dims);
    call_.locations = 1 + random.below(std::max<int64_t>(1, kWork / int64_t(taps * call_.batch * call_.channels)));
    judged_ = random.below(4) != 0;
  }

  void run() {
    const int operation = int(random_.below(3));
    const bool wants_output = operation == 0, second = operation == 2;
    // In the order of the mask's bits; of all that can be asked for something is.
    const int64_t mask = operation == 0 ? 0 : operation == 1 ? 1 + random_.below(3) : 1 + random_.below(7);
    const ScalarType computed = computed_in(call_.dtype);
    const auto dtype = [&] { return random_.below(2) ? computed : call_.dtype; };
    const auto number = [&] { return random_.uniform() * 2 - 1; };
    const std::vector<int64_t> image{call_.input_batch, call_.channels, call_.size[0], call_.size[1], call_.size[2]};
    const std::vector<int64_t> outputs{call_.batch, call_.channels, call_.locations};
    const std::vector<int64_t> grids{call_.grid_batch, call_.dims, call_.locations};
    const std::vector<int64_t> fills{random_.below(2) ? call_.batch : 1, call_.channels};
    const auto zero = [] { return 0.0; };
    const auto input = [&](const char* name, std::optional<Strided>& to, ScalarType type, const std::vector<int64_t>& shape) {
      to.emplace(array(name, random_, type, shape, Role::kInput)).fill(number);
    };
    const auto output = [&](const char* name, std::optional<Strided>& to, ScalarType type, const std::vector<int64_t>& shape) {
      to.emplace(array(name, random_, type, shape, Role::kOutput));
    };
    input("input", input_, call_.dtype, image);
    input("grid", grid_, computed, grids);
    fill_grid();
    if (wants_output) output("output", output_, dtype(), outputs);
    if (mask & 1) grad_input_.emplace(array("grad_input", random_, computed, image, kGradInput));
    if (backend::kIsCuda && grad_input_) grad_input_->fill(zero);
    if (mask & 2) output("grad_grid", grad_grid_, computed, grids);
    if (mask & 4) output("grad_grad_output", grad_grad_output_, dtype(), outputs);
    if (mask & 3 || (second && random_.below(2))) input("grad_output", grad_output_, dtype(), outputs);
    if (second && random_.below(4)) input("tangent_input", tangent_input_, call_.dtype, image);
    if (second && random_.below(4)) input("tangent_grid", tangent_grid_, computed, grids);
    if (filled_) input("fill", fill_, computed, fills);
    if (filled_ && second && random_.below(4)) input("tangent_fill", tangent_fill_, computed, fills);

    call_.input = image_array(input_);
    call_.grid = location_array(grid_, computed);
    call_.output = location_array(output_, call_.dtype);
    call_.grad_output = location_array(grad_output_, call_.dtype);
    call_.grad_input = image_array(grad_input_);
    call_.grad_grid = location_array(grad_grid_, computed);
    call_.tangent_input = image_array(tangent_input_);
    call_.tangent_grid = location_array(tangent_grid_, computed);
    call_.grad_grad_output = location_array(grad_grad_output_, call_.dtype);
    call_.fill = channel_array(fill_);
    call_.tangent_fill = channel_array(tangent_fill_);
    for (ImageArray* image : {&call_.input, &call_.grad_input, &call_.tangent_input}) {
      if (call_.input_batch == 1) image->batch_stride = 0;
    }
    for (LocationArray* array : {&call_.grid, &call_.grad_grid, &call_.tangent_grid}) {
      if (call_.grid_batch == 1) array->batch_stride = 0;
    }
    const bool deterministic = random_.below(2);
    const int64_t atomics_before = backend::atomics();
    const int error = backend::with_any_indices(random_, [&] {
      if (operation == 0) return backend::grid_sample(call_);
      const auto scratch = scratch_for(call_, deterministic, lacking == "scratch");
      return (second ? backend::grid_sample_double_backward : backend::grid_sample_backward)(call_, deterministic);
    });
    CHECK(error == 0, "%s", backend::error_string(error));
    check(second);
    // No schedule of the emulation shows an addition that should be atomic and is not; the count of atomics does.
    const bool adds = backend::kIsCuda && grad_input_ && !deterministic &&
                      (!second || (tangent_grid_ && call_.mode != InterpolationMode::kNearest));
    const int64_t atomics = backend::atomics() - atomics_before;
    if (judged_) CHECK(atomics == (adds ? additions_ : 0), "%ld atomics, not %ld", long(atomics), long(adds ? additions_ : 0));
  }

 private:
  void fill_grid() {
    const bool narrow = grid_->type() == ScalarType::kFloat;
    int64_t k = 0;
    grid_->fill([&]() -> double {
      const int e = int(k++ / call_.locations % call_.dims);
      if (judged_) return coordinate_off_kinks(random_, call_.size[e], call_.coordinates, grid_->type());
      return narrow ? any_coordinate<float>(random_) : any_coordinate<double>(random_);
    });
    // A coordinate that stands for several axes (a stride of 0) is off the kinks of one of them only.
    if (call_.dims > 1 && grid_->strides[1] == 0) judged_ = false;
  }

  /// Of image n, or of the one that there is for all.
  template <typename... indices_t>
  static double load(const std::optional<Strided>& array, int64_t n, indices_t... indices) {
    return array ? array->load(array->offset(n % array->shape[0], indices...)) : 0;
  }

  static ChannelArray channel_array(const std::optional<Strided>& array) {
    if (!array) return {};
    return {array->data(), array->shape[0] == 1 ? 0 : array->strides[0], array->strides[1]};
  }

  /// The definition of all results, csrc/README.md, "Second derivatives".
  void check(bool second) {
    const int64_t locations = call_.locations;
    Expected output(call_.batch * call_.channels * locations), grad_input(input_->count()),
        grad_grid(call_.grid_batch * call_.dims * locations), grad_grad = output;
    for (int64_t n = 0; n < call_.batch && judged_; ++n) {
      for (int64_t p = 0; p < call_.locations; ++p) {
        double coordinate[kMaxDims] = {}, tangent[kMaxDims] = {}, scale = 1, along = 0;
        for (int e = 0; e < call_.dims; ++e) {
          coordinate[e] = load(grid_, n, e, p);
          tangent[e] = load(tangent_grid_, n, e, p);
          scale = std::max(scale, double(call_.size[e]));
          along += std::fabs(tangent[e]);
        }
        // How far rounding may move a tap's weight: some eps of itself, and the coordinate's error times its slope.
        const double weight = (16 + 4 * scale) * epsilon_of(grid_->type()), first = 2 * scale * weight,
                     second_ = 2 * scale * first;
        definition::for_each_pixel(coordinate, call_, [&](const definition::Pixel& pixel) {
          const auto* at = pixel.index;
          double slope = 0;
          if (!pixel.outside) additions_ += call_.channels;
          for (int e = 0; e < call_.dims; ++e) slope += tangent[e] * pixel.first[e];
          for (int64_t c = 0; c < call_.channels; ++c) {
            const double value = pixel.outside ? load(fill_, n, c) : load(input_, n, c, at[0], at[1], at[2]);
            const double moved = pixel.outside ? load(tangent_fill_, n, c) : load(tangent_input_, n, c, at[0], at[1], at[2]);
            const double g = load(grad_output_, n, c, p);
            const int64_t to_output = (n * call_.channels + c) * locations + p, m = n % call_.input_batch;
            output.add(to_output, pixel.weight * value, weight);
            grad_grad.add(to_output, pixel.weight * moved + slope * value, weight + along * first);
            const int64_t area = call_.size[1] * call_.size[2];
            const int64_t to_input = ((m * call_.channels + c) * call_.size[0] + at[0]) * area + at[1] * call_.size[2] + at[2];
            if (!pixel.outside) {
              const double addition = epsilon_of(grid_->type()) * std::fabs(grad_input.value[to_input]);
              grad_input.add(to_input, g * (second ? slope : pixel.weight), (second ? along * first : weight) + addition);
            }
            for (int e = 0; e < call_.dims; ++e) {
              double bend = pixel.first[e] * (second ? moved : value);
              for (int d = 0; d < call_.dims && second; ++d) bend += tangent[d] * pixel.second[e][d] * value;
              grad_grid.add((n % call_.grid_batch * call_.dims + e) * locations + p, g * bend, first + along * second_);
            }
          }
        });
      }
    }
    for (const auto& [array, name] : {std::pair{&input_, "input"},
                                      {&grid_, "grid"},
                                      {&grad_output_, "grad_output"},
                                      {&tangent_input_, "tangent_input"},
                                      {&tangent_grid_, "tangent_grid"},
                                      {&fill_, "fill"},
                                      {&tangent_fill_, "tangent_fill"}}) {
      if (*array) (*array)->check_untouched(name);
    }
    if (output_) check_result(*output_, output, judged_, "output");
    if (grad_input_) check_result(*grad_input_, grad_input, judged_, "grad_input");
    if (grad_grid_) check_result(*grad_grid_, grad_grid, judged_, "grad_grid");
    if (grad_grad_output_) check_result(*grad_grad_output_, grad_grad, judged_, "grad_grad_output");
  }

  Random& random_;
  SampleCall call_{};
  bool judged_, filled_;
  int64_t additions_ = 0;  // to grad_input, in a backward
  std::optional<Strided> input_, grid_, output_, grad_output_, grad_input_, grad_grid_, tangent_input_, tangent_grid_;
  std::optional<Strided> grad_grad_output_, fill_, tangent_fill_;
};

}  // namespace

int main(int count, char** arguments) {
  const auto number = [&](int at, int64_t otherwise) { return count > at ? std::atoll(arguments[at]) : otherwise; };
  const int64_t calls = number(1, 2500), seed = number(2, 1), first = number(3, 0);
  if (count > 4) lacking = arguments[4];
  __sanitizer_set_death_callback([] { std::fprintf(stderr, "%sa sanitizer's report\n", check_context); });
  for (int64_t k = first; k < first + calls; ++k) {
    std::snprintf(check_context, sizeof check_context, "call %ld of seed %ld: ", long(k), long(seed));
    Random random{uint64_t(seed) * 0x9E3779B97F4A7C15ull + uint64_t(k) + 1};
    for (int warm = 0; warm < 4; ++warm) random.bits();  // neighbouring states are alike at first
    backend::set_seed(random.below(4) * random.bits());
    if (random.below(7) == 0) {
      check_transform_grid(random);
    } else if (random.below(3) == 0) {
      check_transform_sample(random);
    } else if (random.below(12) == 0) {
      check_fill_gradient(random);
    } else {
      Sampling(random).run();
    }
  }
  std::printf("%ld calls, %ld launches, %ld checks passed\n", long(calls), long(backend::launches()), long(checks_done));
}
