#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

// A few lines of test harness: a failed check prints where and stops, so that the exit status is the verdict.

inline int64_t checks_done = 0;
inline char check_context[80] = "";  // what a program is at, where a line doesn't say it

#define CHECK(condition, ...)                                                                        \
  do {                                                                                               \
    ++checks_done;                                                                                   \
    if (!(condition)) {                                                                              \
      std::fprintf(stderr, "%s:%d: %s%s is false: ", __FILE__, __LINE__, check_context, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                                             \
      std::fprintf(stderr, "\n");                                                                    \
      std::exit(1);                                                                                  \
    }                                                                                                \
  } while (false)

/// xorshift64*: the same numbers everywhere.
struct Random {
  uint64_t state;
  uint64_t bits() {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 2685821657736338717ull;
  }
  double uniform() { return static_cast<double>(bits() >> 11) / 9007199254740992.0; }  // [0, 1)
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
};

/// Coordinates of every kind: near the image, far away, on edges, huge, infinite, NaN, any bit pattern.
template <typename scalar_t>
scalar_t any_coordinate(Random& random) {
  const scalar_t special[] = {std::numeric_limits<scalar_t>::quiet_NaN(),
                              std::numeric_limits<scalar_t>::infinity(),
                              -std::numeric_limits<scalar_t>::infinity(),
                              std::numeric_limits<scalar_t>::max(),
                              std::numeric_limits<scalar_t>::lowest(),
                              scalar_t(3e38),
                              scalar_t(1e30),
                              scalar_t(-1e10),
                              scalar_t(4e9),
                              scalar_t(2147483648.0),
                              scalar_t(-2147483648.0),
                              scalar_t(0),
                              scalar_t(-0.0),
                              scalar_t(1),
                              scalar_t(-1),
                              scalar_t(0.5),
                              std::numeric_limits<scalar_t>::denorm_min()};
  switch (random.below(8)) {
    case 0:
      return special[random.below(sizeof special / sizeof special[0])];
    case 1: {
      scalar_t value;
      const uint64_t bits = random.bits();
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case 2:
      return scalar_t((random.uniform() - 0.5) * 1000);
    default:
      return scalar_t(random.uniform() * 4 - 2);
  }
}

/// All axes of a call padded alike.
inline void pad_alike(stn::SampleCall& call, stn::PaddingMode padding) {
  for (stn::PaddingMode& axis : call.padding) axis = padding;
}

/// Every image has its own input and grid.
inline void set_batch(stn::SampleCall& call, int64_t batch) { call.batch = call.input_batch = call.grid_batch = batch; }

/// f(integral_constant of dims, of mode, a Padding<mode>{} or RuntimePadding{}, the padding mode) for everything that is built.
template <typename F>
void for_each_case(F&& f) {
  for (int dims = 1; dims <= stn::kMaxDims; ++dims) {
    for (const auto& mode : stn::kInterpolationModes) {
      for (const auto& padding : stn::kPaddingModes) {
        stn::dispatch_dims(dims, [&](auto d) {
          stn::dispatch<stn::kInterpolationModes>(mode.value, [&](auto m) {
            stn::SampleCall call{};
            call.dims = dims;
            pad_alike(call, padding.value);
            stn::dispatch_padding<decltype(m)::value>(call, [&](auto pad) { f(d, m, pad, padding.value); });
            if (stn::Interpolation<decltype(m)::value>::kPadsCoordinate) f(d, m, stn::RuntimePadding{}, padding.value);
          });
        });
      }
    }
  }
}
