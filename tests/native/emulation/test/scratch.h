#pragma once
#include <cstring>
#include <memory>

#include "../../../../csrc/core/dispatch.h"
#include "backend.h"

/// What a backward of this call takes of memory, and no byte more; all ones. `missing`: bytes that it lacks at its end. The
/// call has to have all of its arrays, and the index width that it is launched with.
inline std::unique_ptr<unsigned char[]> scratch_for(stn::SampleCall& call, bool deterministic, int64_t missing = 0) {
  const int64_t bytes = backend::grid_sample_scratch(call, deterministic);
  if (bytes == 0) return nullptr;
  std::unique_ptr<unsigned char[]> block(new unsigned char[bytes - missing]);
  std::memset(block.get(), 0xff, bytes - missing);
  call.scratch = block.get();
  return block;
}
