#pragma once
#include "../../transform_arrays.h"
#include "fuzz.h"

/// A transform drawn by chance, its arrays, and what it does to each location: in float64, on normalised coordinates, as
/// Jaderberg et al. define theta, and not as csrc/core/transform.h computes it.
class FuzzedTransform {
 public:
  stn::TransformArrays arrays;
  int64_t batch;
  bool ordinary = true;  // locations have coordinates off the kinks, which are known well

  /// What `image` is: a sampler's, whose coordinates are pixels of it.
  FuzzedTransform(Random& random, stn::ScalarType computed, int64_t batch, const stn::SampleCall& image, bool pixels,
                  int64_t locations, bool at_one_point = false)
      : batch(batch), random_(random), computed_(computed), image_(image), pixels_(pixels), at_one_point_(at_one_point) {
    const bool centres = definition::are_centres(image.coordinates);
    int64_t size[stn::kMaxDims];
    if (at_one_point) {
      draw_sizes_of_many(random, image.dims, size);
    } else {
      draw_sizes(random, image.dims, locations, size);
    }
    arrays = transform_arrays(any_of(random, stn::kTransformKinds), image.dims, size, image.size, pixels, centres);
    centres_ = centres;
    parameters_.emplace(array(is_flow() ? "flow" : "theta", random, computed, shape(), Role::kInput));
    for (int tries = 0; tries < 40; ++tries) {
      fill(*parameters_);
      if ((ordinary = all_ordinary())) break;
    }
    if (random.below(8) == 0) ordinary = false;
    if (!ordinary)
      parameters_->fill(
          [&] { return computed == stn::ScalarType::kFloat ? any_coordinate<float>(random) : any_coordinate<double>(random); });
    put(*parameters_, arrays.theta, arrays.theta_stride, arrays.flow);
  }

  bool is_flow() const { return arrays.kind == stn::TransformKind::kFlow; }
  int dims() const { return arrays.dims; }
  int64_t count() const { return parameters_->count(); }
  std::vector<int64_t> shape() const {
    if (is_flow()) return {batch, arrays.dims, arrays.locations()};
    return {batch, arrays.rows(), arrays.dims + 1};
  }

  void make_tangent() {
    tangent_.emplace(array(is_flow() ? "tangent_flow" : "tangent_theta", random_, computed_, shape(), Role::kInput));
    tangent_->fill([&] { return random_.uniform() * 2 - 1; });
    put(*tangent_, arrays.tangent_theta, arrays.tangent_stride, arrays.tangent_flow);
  }

  /// The arrays of the gradient, and of theta's partial sums. `dtype`: of grad_theta.
  void make_gradient(stn::ScalarType dtype, int64_t partials) {
    if (is_flow()) {
      grad_flow_.emplace(array("grad_flow", random_, computed_, shape(), Role::kOutput));
      arrays.grad_flow = location_array(grad_flow_, computed_);
      if (batch == 1) arrays.grad_flow.batch_stride = 0;
      return;
    }
    grad_type_ = dtype;
    grad_theta_ = exactly("grad_theta", count(), bytes_of(dtype));
    partial_ = exactly("partial", partials, sizeof(double));
    arrays.grad_theta = grad_theta_.get(), arrays.partial = reinterpret_cast<double*>(partial_.get());
  }

  /// What one location's coordinates are, and how they move with the parameters.
  struct At {
    double base[stn::kMaxDims + 1] = {};  // its own, normalised, and a 1
    double w = 1, w_size = 1, t_w = 0;
    double coordinate[stn::kMaxDims] = {}, along[stn::kMaxDims] = {};  // in the result's units, along the tangent
    double error[stn::kMaxDims] = {};                                  // of the coordinate's rounding
    double ratio[stn::kMaxDims] = {}, t_ratio[stn::kMaxDims] = {};     // row / w, and along the tangent
    double unit[stn::kMaxDims] = {};                                   // d coordinate / d ratio
  };
  At at(int64_t n, int64_t location) const {
    At at;
    n %= batch;
    int64_t index[stn::kMaxDims] = {}, rest = location;
    for (int e = 0; e < dims(); rest /= arrays.size[e++]) {
      index[e] = rest % arrays.size[e];
      at.base[e] = definition::base_coordinate(index[e], arrays.size[e], centres_);
    }
    at.base[dims()] = 1;
    const double eps = epsilon_of(computed_);
    const auto row = [&](const Strided& from, int e, double& magnitudes) {
      double sum = magnitudes = 0;
      for (int j = 0; j <= dims(); ++j) {
        const double term = from.load(from.offset(n, e, j)) * at.base[j];
        sum += term, magnitudes += std::fabs(term);
      }
      return sum;
    };
    double unused;
    if (arrays.kind == stn::TransformKind::kProjective) {
      at.w = row(*parameters_, dims(), at.w_size);
      if (tangent_) at.t_w = row(*tangent_, dims(), unused) / at.w;
    }
    for (int e = 0; e < dims(); ++e) {
      const int64_t size = image_.size[e];
      const double extent = double(centres_ ? size - 1 : size), middle = double(size - 1) / 2;
      if (is_flow()) {
        const double moved = double(index[e]) + parameters_->load(parameters_->offset(n, e, location));
        at.unit[e] = pixels_ ? 1 : extent > 0 ? 2 / extent : 0;
        at.coordinate[e] = pixels_ ? moved : (moved - middle) * at.unit[e];
        at.error[e] = 4 * eps * (std::fabs(moved) + double(index[e]) + middle) * at.unit[e];
        if (tangent_) at.along[e] = tangent_->load(tangent_->offset(n, e, location)) * at.unit[e];
        continue;
      }
      double magnitudes;
      at.ratio[e] = row(*parameters_, e, magnitudes) / at.w;
      if (tangent_) at.t_ratio[e] = row(*tangent_, e, unused) / at.w - at.ratio[e] * at.t_w;
      at.unit[e] = pixels_ ? extent / 2 : 1;
      at.coordinate[e] = at.ratio[e] * at.unit[e] + (pixels_ ? middle : 0);
      at.along[e] = at.t_ratio[e] * at.unit[e];
      at.error[e] = 8 * eps * ((magnitudes + std::fabs(at.ratio[e]) * at.w_size) / std::fabs(at.w) * at.unit[e] + middle);
    }
    return at;
  }

  /// Adds a location's share: `gradient` is that of its coordinates, known but for `error`. `second`: along the tangent.
  void add_gradient(Expected& sums, int64_t n, int64_t location, const At& at, const double (&gradient)[stn::kMaxDims],
                    const double (&error)[stn::kMaxDims], bool second) const {
    n %= batch;
    if (is_flow()) {
      for (int e = 0; e < dims() && !second; ++e) {
        const double exact = gradient[e] * at.unit[e], rounding = 2 * epsilon_of(computed_) * std::fabs(exact);
        sums.add((n * dims() + e) * arrays.locations() + location, exact, error[e] * at.unit[e] + rounding);
      }
      return;
    }
    const bool has_w = arrays.kind == stn::TransformKind::kProjective;
    if (second && !has_w) return;
    const double eps = epsilon_of(computed_), by_w = at.w_size / std::fabs(at.w);  // how much w's rounding counts
    for (int j = 0; j <= dims(); ++j) {
      for (int e = 0; e < dims(); ++e) {
        const double each = gradient[e] * at.unit[e] * at.base[j] / at.w, off = error[e] * at.unit[e] / std::fabs(at.w);
        const double largest = std::fabs(each) * eps * 64 * by_w * (1 + std::fabs(at.t_w)) + off * (1 + std::fabs(at.t_w));
        sums.add(entry(n, e, j), second ? -each * at.t_w : each, largest);
        if (!has_w) continue;
        const double moved = 1 + std::fabs(at.ratio[e]) + std::fabs(at.t_ratio[e]) + std::fabs(at.ratio[e] * at.t_w);
        sums.add(entry(n, dims(), j), each * (second ? at.ratio[e] * at.t_w - at.t_ratio[e] : -at.ratio[e]),
                 largest * moved * by_w * 4);
      }
    }
  }

  void check_inputs() const {
    for (const auto* given : {&parameters_, &tangent_}) {
      if (*given) (*given)->check_untouched("parameters");
    }
  }
  void check_gradient(const Expected& expected, bool judged) const {
    if (is_flow()) {
      if (judged) return check_result(*grad_flow_, expected, true, "grad_flow");
      return grad_flow_->check_untouched("grad_flow");
    }
    for (int64_t k = 0; k < count() && judged; ++k) {
      const double value = load_number(grad_type_, grad_theta_.get() + k * bytes_of(grad_type_)), exact = expected.value[k];
      const double bound = expected.error[k] + epsilon_of(grad_type_) * std::fabs(exact) + 1e-7 * (bytes_of(grad_type_) == 2);
      CHECK(std::fabs(value - exact) <= bound, "grad_theta: element %ld is %.17g, not %.17g, by more than %g", long(k), value,
            exact, bound);
    }
  }

 private:
  int64_t entry(int64_t n, int e, int j) const { return (n * arrays.rows() + e) * (arrays.dims + 1) + j; }

  static std::unique_ptr<unsigned char[]> exactly(const char* name, int64_t count, int64_t bytes) {
    const int64_t all = (count - (lacking == name)) * bytes;
    std::unique_ptr<unsigned char[]> block(new unsigned char[all]);
    std::memset(block.get(), 0xff, all);
    return block;
  }

  /// About 512 or 1024 locations: of one or two images they are as many as kManyCandidates, a few more or a few less.
  static void draw_sizes_of_many(Random& random, int dims, int64_t (&size)[stn::kMaxDims]) {
    const int64_t area = 480 + random.below(2) * 512 + random.below(96);
    std::fill(size, size + stn::kMaxDims, 1);
    size[0] = random.below(2) ? 32 : 1 + random.below(200);
    size[dims - 1] = std::max<int64_t>(1, area / size[0]);
    if (dims == 3 && random.below(2)) size[1] = 2, size[2] = (size[2] + 1) / 2;
  }

  void put(const Strided& from, const void*& theta, int64_t (&stride)[3], stn::LocationArray& flow) const {
    if (is_flow()) {
      flow = location_array(from, computed_);
      if (batch == 1) flow.batch_stride = 0;
    } else {
      theta = from.data();
      std::copy_n(from.strides.begin(), 3, stride);
      if (batch == 1) stride[0] = 0;
    }
  }

  /// Zooms in or out, turns, is singular, has a horizon.
  void fill(Strided& parameters) {
    const double zoom = at_one_point_ ? 0.02 : std::exp((random_.uniform() - 0.5) * 4), turn = random_.below(3);
    const double shift = at_one_point_ ? 0.6 : 0.8, slope = random_.below(3) ? 0.3 : 2;
    int64_t k = 0;
    parameters.fill([&]() -> double {
      const double any = random_.uniform() * 2 - 1;
      const int64_t at = k++;
      if (is_flow()) {
        const int e = int(at / arrays.locations() % dims());
        return any * (at_one_point_ ? 0.3 : double(image_.size[e])) + random_.below(3) - 1;
      }
      const int64_t j = at % (dims() + 1), e = at / (dims() + 1) % arrays.rows();
      if (e == dims()) return j == dims() ? 1 + 0.2 * any : slope * any;
      if (j == dims()) return shift * any;
      return zoom * (turn > 0 ? any : j == e);
    });
  }

  /// Whether no location is near a kink, which are at halves of a pixel, or where w is 0.
  bool all_ordinary() const {
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t p = 0; p < arrays.locations(); ++p) {
        const At here = at(n, p);
        if (std::fabs(here.w) < 0.02 || std::fabs(here.w) < 0.02 * here.w_size) return false;
        for (int e = 0; e < dims() && pixels_; ++e) {
          const bool flat = centres_ && image_.size[e] == 1;
          const double twice = 2 * here.coordinate[e];
          if (!flat && std::fabs(twice - std::nearbyint(twice)) <= 4 * here.error[e] + 1e-5) return false;
        }
      }
    }
    return true;
  }

  Random& random_;
  stn::ScalarType computed_, grad_type_{};
  const stn::SampleCall& image_;
  bool pixels_, centres_ = false, at_one_point_;  // the last: all locations read about one pixel
  std::optional<Strided> parameters_, tangent_, grad_flow_;
  std::unique_ptr<unsigned char[]> grad_theta_, partial_;
};

/// What calls of transforms share.
inline stn::SampleCall transformed_image(Random& random) {
  stn::SampleCall image{};
  image.dims = std::max(2, draw_dims(random));
  image.dtype = draw_dtype(random);
  image.coordinates = random.below(2) ? stn::CoordinateConvention::kPixels : stn::CoordinateConvention::kCentrePixels;
  return image;
}
