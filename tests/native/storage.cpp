// 16-bit floats: every bit pattern to float by the format's definition, and every rounding decision back, under ASan and UBSan.
#include <cmath>

#include "../../csrc/core/dispatch.h"
#include "checks.h"

using namespace stn;

namespace {

/// What a format says that a bit pattern is.
double value_of(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7fff) >> fraction_bits, fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  const double scaled = exponent ? fraction + (1 << fraction_bits) : fraction;
  return sign * std::ldexp(scaled, (exponent ? exponent : 1) - bias - fraction_bits);
}

template <typename storage_t>
void check_rounding(float x, uint16_t expected) {
  CHECK(narrow<storage_t>(x).bits == expected, "%a became %x and not %x", double(x), narrow<storage_t>(x).bits, expected);
  const uint16_t negative = expected | 0x8000;
  CHECK(narrow<storage_t>(-x).bits == negative, "%a became %x and not %x", double(-x), narrow<storage_t>(-x).bits, negative);
}

template <typename storage_t>
void check_format(int exponent_bits) {
  const uint16_t infinity = static_cast<uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  for (int bits = 0; bits < 1 << 16; ++bits) {
    const storage_t stored{static_cast<uint16_t>(bits)};
    const float wide = widen(stored);
    const double expected = value_of(stored.bits, exponent_bits);
    if (std::isnan(expected)) {
      CHECK(std::isnan(wide) && std::isnan(widen(narrow<storage_t>(wide))), "%x is NaN and stays it", bits);
      continue;
    }
    CHECK(wide == expected && std::signbit(wide) == std::signbit(expected), "%x is %a and not %a", bits, expected,
          double(wide));
    CHECK(narrow<storage_t>(wide).bits == bits, "%x comes back as %x", bits, narrow<storage_t>(wide).bits);
  }
  for (uint16_t bits = 0; bits < infinity; ++bits) {  // between neighbours: nearest, and the even one in the middle
    const auto next = static_cast<uint16_t>(bits + 1);
    const double low = value_of(bits, exponent_bits);
    const double step = value_of(bits | 1, exponent_bits) - value_of(bits & ~1, exponent_bits);  // before infinity, too
    const float middle = static_cast<float>(low + step / 2);
    if (middle != low + step / 2) continue;  // bfloat16's smallest: the middle is no float
    check_rounding<storage_t>(middle, bits % 2 ? next : bits);
    check_rounding<storage_t>(std::nextafterf(middle, 0), bits);
    check_rounding<storage_t>(std::nextafterf(middle, std::numeric_limits<float>::infinity()), next);
  }
  check_rounding<storage_t>(std::numeric_limits<float>::infinity(), infinity);
  check_rounding<storage_t>(std::numeric_limits<float>::max(), infinity);
  check_rounding<storage_t>(std::numeric_limits<float>::denorm_min(), 0);
  for (const uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {  // rounded, it might be infinity or 0
    CHECK(std::isnan(widen(narrow<storage_t>(detail::bit_cast<float>(nan)))), "%x is NaN and stays it", nan);
  }
}

}  // namespace

int main() {
  check_format<Half>(5);
  check_format<BFloat16>(8);
  CHECK(narrow<float>(0.1f) == 0.1f && narrow<double>(0.1) == 0.1, "float and double stay what they are");
  std::printf("%lld checks passed\n", static_cast<long long>(checks_done));
}
