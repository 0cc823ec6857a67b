#pragma once
#include "stored.h"

namespace stn::cpu {

/// Channels that are worked on side by side: what a line of 64 bytes holds. As many registers as the machine's vectors need.
template <typename scalar_t>
constexpr int kLine = 64 / int(sizeof(scalar_t));

/// The values of kLine channels at one pixel or location.
template <typename scalar_t>
struct Line {
  using vector_t = vector_of<scalar_t>;
  static constexpr int kVectorLanes = kLanes<vector_t>;
  static constexpr int kVectors = kLine<scalar_t> / kVectorLanes;

  vector_t vector[kVectors];

  static STN_HOST Line zeros() { return {}; }
  static STN_HOST Line load(const scalar_t* from) {
    Line line;
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) line.vector[v] = load_lanes<vector_t>(from + v * kVectorLanes);
    return line;
  }
  STN_HOST void store(scalar_t* to) const {
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) store_lanes(to + v * kVectorLanes, vector[v]);
  }
  /// Past the caches; `to` is aligned to 64 bytes.
  STN_HOST void stream(scalar_t* to) const {
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) stream_lanes(to + v * kVectorLanes, vector[v]);
  }

  /// += factor * line
  STN_HOST void add(scalar_t factor, const Line& line) {
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) vector[v] += factor * line.vector[v];
  }
  /// The same, of a line in memory, one vector after the other: two registers do.
  static STN_HOST void add_in_memory(scalar_t factor, const Line& line, scalar_t* to) {
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      scalar_t* at = to + v * kVectorLanes;
      store_lanes(at, load_lanes<vector_t>(at) + factor * line.vector[v]);
    }
  }
  /// The line folded to one vector.
  STN_HOST vector_t sum_of_vectors() const {
    vector_t sum = vector[0];
    STN_UNROLL
    for (int v = 1; v < kVectors; ++v) sum += vector[v];
    return sum;
  }
  /// sum += the vectors of this line times another's, one after the other
  STN_HOST void add_products(const Line& other, vector_t& sum) const {
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) sum += vector[v] * other.vector[v];
  }
  /// += a * b, lane by lane
  STN_HOST void add(const Line& a, const Line& b) {
    STN_UNROLL
    for (int v = 0; v < kVectors; ++v) vector[v] += a.vector[v] * b.vector[v];
  }
};

// ---- transposition in registers ----------------------------------------------------------------------------------------

template <typename index_t, typename vector_t, typename F, int... kLane>
STN_HOST vector_t shuffle_by(vector_t a, vector_t b, F, std::integer_sequence<int, kLane...>) {
  const index_t from = {F{}(kLane)...};
  return __builtin_shuffle(a, b, from);
}

/// The lanes of a and then of b that lane_of(lane) numbers.
template <typename scalar_t, typename F>
STN_HOST vector_of<scalar_t> shuffle(vector_of<scalar_t> a, vector_of<scalar_t> b, F lane_of) {
  constexpr int n = Line<scalar_t>::kVectorLanes;
  return shuffle_by<typename Vectors<scalar_t>::index_t>(a, b, lane_of, std::make_integer_sequence<int, n>());
}

/// Pieces of kSize lanes: those of a and b that are kFirst, kFirst + kStep, ... within kPart lanes, taken in turn if kTurns, or
/// a's before b's.
template <int kSize, int kFirst, int kStep, bool kTurns, int kPart, int kLanesOfVector>
struct Pieces {
  constexpr int operator()(int lane) const {
    constexpr int pieces = kPart / kSize;  // in a part of the result
    const int part = lane / kPart * kPart, piece = lane % kPart / kSize, within = lane % kSize;
    const bool from_b = kTurns ? piece % 2 == 1 : piece >= pieces / 2;
    const int nth = kTurns ? piece / 2 : piece % (pieces / 2);
    return part + (kFirst + nth * kStep) * kSize + within + (from_b ? kLanesOfVector : 0);
  }
};

/// Rows to columns, as many vectors as each has lanes: within 16 bytes first, then 16 bytes as one, because only these are
/// single instructions.
template <typename scalar_t>
STN_HOST void transpose(vector_of<scalar_t> (&rows)[Line<scalar_t>::kVectorLanes]) {
  using vector_t = vector_of<scalar_t>;
  constexpr int n = Line<scalar_t>::kVectorLanes, kQuarter = 16 / int(sizeof(scalar_t)), kQuarters = n / kQuarter;
  const auto cross = [&](int i, int k, auto low, auto high) __attribute__((always_inline)) {
    const vector_t a = rows[i], b = rows[k];
    rows[i] = shuffle<scalar_t>(a, b, low);
    rows[k] = shuffle<scalar_t>(a, b, high);
  };
  // low and high halves of 16 bytes, lane by lane and then two by two
  STN_UNROLL
  for (int i = 0; i < n; i += 2) {
    cross(i, i + 1, Pieces<1, 0, 1, true, kQuarter, n>{}, Pieces<1, kQuarter / 2, 1, true, kQuarter, n>{});
  }
  if constexpr (kQuarter == 4) {
    STN_UNROLL
    for (int i = 0; i < n; i += 4) {
      cross(i, i + 2, Pieces<2, 0, 1, true, kQuarter, n>{}, Pieces<2, 1, 1, true, kQuarter, n>{});
      cross(i + 1, i + 3, Pieces<2, 0, 1, true, kQuarter, n>{}, Pieces<2, 1, 1, true, kQuarter, n>{});
      std::swap(rows[i + 1], rows[i + 2]);
    }
  }
  // 16 bytes: even and odd ones
  if constexpr (kQuarters > 1) {
    constexpr int kAll = n;
    using even_t = Pieces<kQuarter, 0, 2, false, kAll, n>;
    using odd_t = Pieces<kQuarter, 1, 2, false, kAll, n>;
    STN_UNROLL
    for (int m = 0; m < kQuarter; ++m) {
      if constexpr (kQuarters == 2) {
        cross(m, m + kQuarter, even_t{}, odd_t{});
      } else {
        cross(m, m + kQuarter, even_t{}, odd_t{});
        cross(m + 2 * kQuarter, m + 3 * kQuarter, even_t{}, odd_t{});
        cross(m, m + 2 * kQuarter, even_t{}, odd_t{});
        cross(m + kQuarter, m + 3 * kQuarter, even_t{}, odd_t{});
      }
    }
  }
}

/// The sum of each row's lanes, of as many rows as a vector has lanes: transposition, whose columns are added as they come.
template <typename scalar_t>
STN_HOST vector_of<scalar_t> sum_lanes(vector_of<scalar_t> (&rows)[Line<scalar_t>::kVectorLanes]) {
  using vector_t = vector_of<scalar_t>;
  constexpr int n = Line<scalar_t>::kVectorLanes, kQuarter = 16 / int(sizeof(scalar_t));
  const auto fold = [&](int i, int k, auto low, auto high) __attribute__((always_inline)) {
    const vector_t a = rows[i], b = rows[k];
    rows[i] = shuffle<scalar_t>(a, b, low) + shuffle<scalar_t>(a, b, high);
  };
  STN_UNROLL
  for (int i = 0; i < n; i += 2) {
    fold(i, i + 1, Pieces<1, 0, 1, true, kQuarter, n>{}, Pieces<1, kQuarter / 2, 1, true, kQuarter, n>{});
  }
  if constexpr (kQuarter == 4) {
    STN_UNROLL
    for (int i = 0; i < n; i += 4) {
      fold(i, i + 2, Pieces<2, 0, 1, false, kQuarter, n>{}, Pieces<2, 1, 1, false, kQuarter, n>{});
    }
  }
  using even_t = Pieces<kQuarter, 0, 2, false, n, n>;
  using odd_t = Pieces<kQuarter, 1, 2, false, n, n>;
  STN_UNROLL
  for (int apart = kQuarter; apart < n; apart *= 2) {
    STN_UNROLL
    for (int i = 0; i < n; i += 2 * apart) fold(i, i + apart, even_t{}, odd_t{});
  }
  return rows[0];
}

/// Rows of `stride` elements, kLine of them and `count` long (whole vectors), to lines that begin `step` elements apart. What
/// comes `ahead` elements later in the rows is fetched meanwhile: these are more rows than a machine reads ahead in by itself.
template <typename scalar_t>
STN_HOST void transpose_rows(const scalar_t* rows, int64_t stride, int count, scalar_t* lines, int64_t step, int ahead) {
  using line_t = Line<scalar_t>;
  constexpr int n = line_t::kVectorLanes;
  for (int i = 0; i < count; i += n) {
    if (i % kLine<scalar_t> == 0) {
      STN_UNROLL
      for (int k = 0; k < kLine<scalar_t>; ++k) __builtin_prefetch(rows + k * stride + i + ahead);
    }
    STN_UNROLL
    for (int v = 0; v < line_t::kVectors; ++v) {
      typename line_t::vector_t square[n];
      STN_UNROLL
      for (int k = 0; k < n; ++k) square[k] = load_lanes<typename line_t::vector_t>(rows + (v * n + k) * stride + i);
      transpose<scalar_t>(square);
      STN_UNROLL
      for (int k = 0; k < n; ++k) store_lanes(lines + (i + k) * step + v * n, square[k]);
    }
  }
}

/// ... and back.
template <typename scalar_t>
STN_HOST void transpose_lines(const scalar_t* lines, int64_t step, int count, scalar_t* rows, int64_t stride) {
  using line_t = Line<scalar_t>;
  constexpr int n = line_t::kVectorLanes;
  for (int i = 0; i < count; i += n) {
    STN_UNROLL
    for (int v = 0; v < line_t::kVectors; ++v) {
      typename line_t::vector_t square[n];
      STN_UNROLL
      for (int k = 0; k < n; ++k) square[k] = load_lanes<typename line_t::vector_t>(lines + (i + k) * step + v * n);
      transpose<scalar_t>(square);
      STN_UNROLL
      for (int k = 0; k < n; ++k) store_lanes(rows + (v * n + k) * stride + i, square[k]);
    }
  }
}

}  // namespace stn::cpu
