// The fill value's kernel of one instruction set; see sample_kernels.inl.
#pragma once
#include "../core/dispatch.h"
#include "../core/fill.h"
#include "kernels.h"

namespace stn::cpu {
namespace {

void fill_gradient(const FillGradientCall& call, int64_t begin, int64_t end) {
  dispatch_dtype(call.dtype, [&](auto zero) {
    const FillGradientParams<decltype(zero), int64_t> params(call);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t m = unit / params.channels, c = unit % params.channels;
      params.grad_fill.at(m, c) = static_cast<typename decltype(params)::scalar_t>(params.sum(m, c, 0, 1));
    }
  });
}

}  // namespace
}  // namespace stn::cpu
