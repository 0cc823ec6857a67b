// Kernels with a bug each, and beside it the same kernel without. `planted_bugs <name> broken` has to fail: by a sanitizer, by
// a refusal, or by a result that is not the expected one under one of a few schedules. `planted_bugs <name> correct` passes.
#include <cmath>
#include <string>
#include <vector>

#include "planted_bugs/arithmetic.cuh"
#include "planted_bugs/barriers.cuh"
#include "planted_bugs/collectives.cuh"
#include "planted_bugs/memory.cuh"

namespace {

std::vector<Case> every_case() {
  std::vector<Case> cases(std::begin(kMemory), std::end(kMemory));
  cases.insert(cases.end(), std::begin(kBarriers), std::end(kBarriers));
  cases.insert(cases.end(), std::begin(kCollectives), std::end(kCollectives));
  cases.insert(cases.end(), std::begin(kArithmetic), std::end(kArithmetic));
  return cases;
}

/// Fails unless every element is 1, under every schedule.
void check(Kernel kernel, const LaunchShape& shape) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    emulation::set_seed(seed);
    const DeviceArray<float> output(kCount, NAN);
    run(kernel, shape, output.data(), kCount);
    const std::vector<float> values = output.values();
    for (int i = 0; i < kCount; ++i) {
      CHECK(std::fabs(values[i] - 1) < 1e-5, "wrong result: element %d is %g under seed %d", i, double(values[i]), int(seed));
    }
  }
}

}  // namespace

int main(int count, char** arguments) try {
  if (count == 1) {
    for (const Case& c : every_case()) std::printf("%s\n", c.name);
    return 0;
  }
  const bool broken = count > 2 && arguments[2] == std::string("broken");
  for (const Case& c : every_case()) {
    if (c.name != std::string(arguments[1])) continue;
    check(broken ? c.broken : c.correct, c.shape);
    std::printf("correct\n");
    return 0;
  }
  std::fprintf(stderr, "no such case: %s\n", arguments[1]);
  return 2;
} catch (const emulation::Refusal& refusal) {
  std::fprintf(stderr, "refused: %s\n", refusal.what());
  return 3;
}
