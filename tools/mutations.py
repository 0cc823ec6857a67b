"""What tools/mutate.py breaks, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutation:
    file: str  # below csrc
    old: str
    new: str
    what: str
    check: str = "kernels_2d"  # of mutate.py
    nth: int = 1  # which occurrence of `old`
    equivalent: str = ""  # why nothing can notice it

    def mutated(self, root: Path) -> str:
        """The text of the file in its place. Raises ValueError where the file has no such text."""
        parts = (root / "csrc" / self.file).read_text().split(self.old)
        if len(parts) <= self.nth:
            raise ValueError(f"csrc/{self.file} has no {self.old!r}, number {self.nth}")
        return self.old.join(parts[: self.nth]) + self.new + self.old.join(parts[self.nth :])


TRANSFORM, GATHER, COORDINATES = "core/transform.h", "core/gather.h", "core/coordinates.h"
PADDING, INTERPOLATION, ARRAYS = "core/padding.h", "core/interpolation.h", "core/arrays.h"
STENCIL, SAMPLE, SOURCE, PARAMS, STORAGE = "core/stencil.h", "core/sample.h", "core/source.h", "core/params.h", "core/storage.h"
GRID_KERNELS, THETA_KERNELS = "cuda/transform_grid_kernels.cuh", "cuda/theta_kernels.cuh"
GATHER_KERNELS, KERNELS, CPU_TRANSFORM = "cuda/gather_kernels.cuh", "cuda/sample_kernels.cuh", "cpu/transform.inl"
CHUNK, PLANES, PACKING = "cpu/chunk.inl", "cpu/gather.inl", "cpu/packing.inl"
DOTS, SCATTER, LINE = "cpu/dots.inl", "cpu/scatter.inl", "cpu/line.h"
PREFETCH = "cpu/prefetch.inl"
CHOICE, PARTITION, PARTS, OWNERSHIP = "cpu/choice.h", "cpu/partition.h", "cpu/parts.h", "cpu/ownership.inl"
REDUCE, FILL, NUMERIC = "cuda/reduce.cuh", "core/fill.h", "core/numeric.h"
LAUNCH, LAUNCHERS, MAPPING = "cuda/launch.h", "cuda/launchers.cuh", "cuda/mapping.h"
BINS, LOCATION_SORT = "core/bins.h", "cuda/location_sort.h"
TRANSFORM_LAUNCHERS = "cuda/transform_launchers.cuh"
SORTED_KERNELS, SORTED_LAUNCHERS = "cuda/sorted_kernels.cuh", "cuda/sorted_launchers.cuh"
SIGN_OF_ZERO = "equivalent: the positions that it changes are clamped to an edge, where the slope is 0 of either sign"

MUTATIONS = [
    Mutation(TRANSFORM, "scalar_t(2 * i - (size[e] - 1))", "scalar_t(2 * i - size[e])", "positions half a pixel off"),
    Mutation(TRANSFORM, "      rest = next;\n", "", "z is y", "kernels_3d"),
    Mutation(TRANSFORM, "position_on(e, rest - next * size[e])", "position_on(e, rest)", "x counts on over rows"),
    Mutation(TRANSFORM, "value_t sum = broadcast<value_t>(entry[e][kDims]);", "value_t sum{};", "no translation"),
    Mutation(
        TRANSFORM, "      sum[e * (kDims + 1) + kDims] +=", "      if (e < 0) sum[0] +=", "no gradient of the translation"
    ),
    Mutation(TRANSFORM, "e * stride[1] + j * stride[2]", "e * stride[2] + j * stride[1]", "theta transposed"),
    Mutation(TRANSFORM, "from[n * stride[0] + ", "from[", "every image has the first theta"),
    Mutation(TRANSFORM, "grad_theta[(n * rows + e)", "grad_theta[(n + e)", "gradients of theta overlap"),
    Mutation(TRANSFORM, "sum[i] * double(unit[e][j])", "sum[i]", "theta's gradient in pixels"),
    Mutation(TRANSFORM, "if (e < rows) {", "{", "a row of w's gradient that affine has no room for"),
    Mutation(
        TRANSFORM,
        "const scalar_t t_w = w_row ? tangent.row(kDims, position)",
        "const scalar_t t_w = w_row ? scalar_t(0)",
        "w has no tangent",
    ),
    Mutation(TRANSFORM, "result[kDims] -= result[e]", "result[kDims] += result[e]", "sign of the gradient of w's row"),
    Mutation(TRANSFORM, "result[e] = -each * t_w;", "result[e] = each * t_w;", "sign of a second gradient of theta"),
    Mutation(TRANSFORM, "scalar_t(2) * row(e, position) * t_w", "row(e, position) * t_w", "second gradient of w's row"),
    Mutation(TRANSFORM, "gradient[e] * unit[e][e]);", "gradient[e]);", "a flow's gradient in pixels"),
    Mutation(TRANSFORM, "second ? scalar_t(0) : ", "", "a flow has a second derivative"),
    Mutation(TRANSFORM, "(w < kLeastW) & (w > -kLeastW)", "(w < kLeastW)", "nothing behind the horizon"),
    Mutation(GATHER, "at - kReach, size", "at + kReach, size", "a pixel's readers on one side alone"),
    Mutation(GATHER, "Interpolation<kMode>::kRadius", "1", "bicubic reads no farther than bilinear"),
    Mutation(GATHER, "scalar_t(2e-6)", "scalar_t(0)", "bounds not loosened by their rounding", "gather"),
    Mutation(GATHER, "axis.ends_read_beyond && is_last)", "false)", "the last pixel has a bound outwards"),
    Mutation(GATHER, "const int sides = map.w_row ? 2 : 1;", "const int sides = 1;", "no locations behind the horizon"),
    Mutation(
        GATHER, "if (!is_on_side(map, sign, at)) continue;", "", "locations found from both sides of the horizon", "gather"
    ),
    Mutation(
        GATHER, "    if (!(magnitude(a) + magnitude(rest) < scalar_t(INFINITY))) return;\n", "", "overflow as a bound", "gather"
    ),
    Mutation(
        GATHER, "to_index<index_t>(axis.last)", "static_cast<index_t>(axis.size) - 1", "an end that no float names", "gather"
    ),
    Mutation(GATHER, "y += y_step", "y += 1", "lanes share no rows"),
    Mutation(
        GATHER,
        "bool shares_rows = rows.length() >= lanes",
        "bool shares_rows = true",
        "lanes share rows, however few",
        "gather",
        1,
        "equivalent: only slower, since lanes without a row do nothing",
    ),
    Mutation(GATHER, "+ (shares_rows ? 0 : lane)", "", "lanes share no columns"),
    Mutation(GATHER, "one * rest + two * other_rest", "one * rest - two * other_rest", "an elimination of the wrong sign"),
    Mutation(CPU_TRANSFORM, "index[0] = 0;", "", "rows of a tile go on behind their end", "wide_transform"),
    Mutation(
        CPU_TRANSFORM, "++index[e] == transform.size[e]", "++index[e] > transform.size[e]", "a row too many", "wide_transform"
    ),
    Mutation(
        CPU_TRANSFORM,
        "transform.partial[unit * kEntries + k] = sum[k]",
        "transform.partial[n * kEntries + k] = sum[k]",
        "units of an image overlap",
        "wide_transform",
    ),
    Mutation(
        CPU_TRANSFORM,
        "map.second_row_gradients(tangent, at,",
        "map.row_gradients(at,",
        "no second gradient of theta",
        "wide_transform",
    ),
    Mutation(GATHER_KERNELS, "if (lanes > 1) sum_over_columns(sums);", "", "columns are not summed"),
    Mutation(GATHER_KERNELS, "    if (lane > 0) continue;\n", "", "every column writes a pixel"),
    Mutation(GATHER_KERNELS, "n += params.input_batch", "n += params.batch", "one image reads a shared input"),
    Mutation(
        GATHER_KERNELS,
        "mine ? !live || has_many[column] :",
        "mine ? !live :",
        "pixels with many locations twice",
        "kernels_2d",
        1,
        "equivalent: only slower, the block writes the same sum in another order",
    ),
    Mutation(GATHER_KERNELS, "mine ? !live || has_many", "mine ? has_many", "pixels behind the last one"),
    Mutation(GATHER_KERNELS, "  __syncthreads();\n", "", "no barrier before the pixels with many locations"),
    Mutation(GATHER_KERNELS, "chunk += kChannelsAtOnce * rows", "chunk += 2 * kChannelsAtOnce * rows", "channels are left out"),
    Mutation(COORDINATES, "centres || in_pixels ? scalar_t(0) : scalar_t(0.5);", "scalar_t(0);", "edges taken for centres"),
    Mutation(COORDINATES, "!(centres && size == 1)", "true", "no rule for an axis without extent"),
    Mutation(COORDINATES, "centres ? scalar_t(0) : scalar_t(-0.5)", "scalar_t(0)", "mirrors at centres always"),
    Mutation(
        COORDINATES, "> index ? std::nextafter", "< index ? std::nextafter", "the last pixel rounds past the end", "kinks"
    ),
    Mutation(COORDINATES, "(x > -int_range) & (x < int_range)", "(x > -int_range)", "no upper bound before the integer"),
    Mutation(COORDINATES, "(x > -int_range) & (x < int_range)", "(x < int_range)", "no lower bound before the integer"),
    Mutation(COORDINATES, "slope = select(in_range, slope, scalar_t(0));", "", "a slope where nothing is finite"),
    Mutation(
        COORDINATES, "select(x > scalar_t(0), broadcast", "select(x < scalar_t(0), broadcast", "infinity at the wrong edge"
    ),
    Mutation(PADDING, "x > scalar_t(0);", "x >= scalar_t(0);", "a slope exactly on the first edge", "kinks"),
    Mutation(PADDING, "below_last = x < axis.last", "below_last = x <= axis.last", "a slope exactly on the last edge", "kinks"),
    Mutation(PADDING, "slope = select(above_first & below_last, slope, scalar_t(0));", "", "a slope where border clamps"),
    Mutation(PADDING, "return select(x < axis.last, x, axis.last);", "return x;", "no clamp to the last pixel"),
    Mutation(PADDING, "x = select(above_first, x, scalar_t(0));", "", "no clamp to the first pixel"),
    Mutation(PADDING, "(x > scalar_t(-4)) & ", "", "zeros: no lower bound before the integer"),
    Mutation(PADDING, " & (x < axis.last + scalar_t(4))", "", "zeros: no upper bound before the integer"),
    Mutation(PADDING, "x < axis.last + scalar_t(4)", "x < axis.last - scalar_t(1)", "zeros begin inside the image"),
    Mutation(PADDING, "before ^ folded", "before | folded", "slope of a double reflection"),
    Mutation(PADDING, "slope = select(before ^ folded, -slope, slope);", "", "slope of a reflection not turned"),
    Mutation(PADDING, "select(folded, period - rest, rest)", "rest", "no second mirror"),
    Mutation(
        PADDING, "select(folded, period - rest, rest) + axis.mirror", "select(folded, period - rest, rest)", "mirror not added"
    ),
    Mutation(PADDING, "rest >= axis.span", "rest > axis.span", "folded exactly on the mirror", "kinks", 1, SIGN_OF_ZERO),
    Mutation(
        PADDING,
        "from_mirror < scalar_t(0)",
        "from_mirror <= scalar_t(0)",
        "before exactly on the mirror",
        "kinks",
        1,
        SIGN_OF_ZERO,
    ),
    Mutation(PADDING, " - Numeric<value_t>::floor(distance * axis.inverse_period) * period", "", "whole periods not taken off"),
    Mutation(PADDING, "result = decltype(pad)::position(p, axis);", "result = p;", "taps of bicubic not padded"),
    Mutation(
        INTERPOLATION, "scalar_of<value_t>(1) - fraction;\n    weight[0][1]", "fraction;\n    weight[0][1]", "weights equal"
    ),
    Mutation(INTERPOLATION, "broadcast<value_t>(-1)", "broadcast<value_t>(1)", "sign of the first bilinear slope"),
    Mutation(INTERPOLATION, "weight[1][1] = broadcast<value_t>(1)", "weight[1][1] = broadcast<value_t>(-1)", "of the second"),
    Mutation(
        INTERPOLATION, "return Numeric<value_t>::floor(x);", "return Numeric<value_t>::round_half_even(x);", "cell of bilinear"
    ),
    Mutation(INTERPOLATION, "Numeric<value_t>::round_half_even(x)", "Numeric<value_t>::floor(x)", "nearest rounds down"),
    Mutation(
        INTERPOLATION,
        "return Numeric<value_t>::round_half_even(x)",
        "return Numeric<value_t>::floor(x + scalar_of<value_t>(0.5))",
        "nearest rounds ties up",
        "kinks",
    ),
    Mutation(INTERPOLATION, "floor(x) - scalar_of<value_t>(1)", "floor(x)", "taps of bicubic one to the right"),
    Mutation(INTERPOLATION, "kA = -0.75", "kA = -0.5", "another a"),
    Mutation(
        INTERPOLATION, "inner<kOrder>(rest, scalar_t(-1), 2", "inner<kOrder>(rest, scalar_t(1), 2", "sign of an inner slope"
    ),
    Mutation(
        INTERPOLATION,
        "outer<kOrder>(rest + scalar_t(1), scalar_t(-1)",
        "outer<kOrder>(rest + scalar_t(1), scalar_t(1)",
        "sign of an outer slope",
    ),
    Mutation(INTERPOLATION, "scalar_t(6) * cubic * r - ", "scalar_t(6) * cubic * r + ", "inner second derivative"),
    Mutation(INTERPOLATION, "scalar_t(6) * a * r - ", "scalar_t(6) * a * r + ", "outer second derivative"),
    Mutation(NUMERIC, "(i >= element_t(0))", "(i > element_t(0))", "the first pixel is outside"),
    Mutation(NUMERIC, "(i >= element_t(0))", "(i >= element_t(-1))", "the pixel before the first is inside"),
    Mutation(NUMERIC, "(i < static_cast", "(i <= static_cast", "the pixel behind the last is inside"),
    Mutation(NUMERIC, "element_t>>(size - 1)", "element_t>>(size)", "the pixel behind the last, of vectors", "wide_core"),
    Mutation(STENCIL, "taps.weight[1][k] *= slope;", "", "no slope in the first derivative"),
    Mutation(STENCIL, "*= slope * slope", "*= slope", "slope once in the second derivative"),
    Mutation(STENCIL, "first_index + element_t(k)", "first_index", "bilinear has no neighbour"),
    Mutation(STENCIL, "Pad::position(first + scalar_t(k), axis)", "Pad::position(first, axis)", "bicubic has no neighbours"),
    Mutation(
        STENCIL, "axis[e].index[digit(tap, e)] * stride[e]", "axis[e].index[digit(tap, e)] * stride[0]", "y by the stride of x"
    ),
    Mutation(STENCIL, "all & axis[e].inside", "all | axis[e].inside", "inside on one axis is inside"),
    Mutation(STENCIL, "(e == a) + (f == a)", "(e == a)", "second derivative forgets an axis"),
    Mutation(STENCIL, "(e == 0) + (f == 0)", "(e == 0)", "second derivative forgets x"),
    Mutation(STENCIL, " % kAxisTaps;", ";", "a tap that its axis does not have"),
    Mutation(SAMPLE, "if (stencil.inside(tap)) sum +=", "sum +=", "forward reads outside"),
    Mutation(SAMPLE, "      if (!stencil.inside(tap)) return;\n", "", "backward reads and writes outside"),
    Mutation(SAMPLE, "      if (!stencil.inside(tap)) return;\n", "", "double backward reads and writes outside", nth=2),
    Mutation(SAMPLE, "c = at.channel;", "c = 0;", "forward: every row does all channels' steps"),
    Mutation(SAMPLE, "c += at.channel_step", "c += 1", "backward: rows share channels", nth=2),
    Mutation(SAMPLE, "grad_output * stencil.weight(tap));", "stencil.weight(tap));", "grad_input without grad_output"),
    Mutation(
        SAMPLE,
        "gradient[e] += weighed(tap, stencil.derivative(tap, e), grad_output * pixel",
        "gradient[e] = weighed(tap, stencil.derivative(tap, e), grad_output * pixel",
        "no sum over taps",
    ),
    Mutation(SAMPLE, "sum += weighed(tap, slope", "sum -= weighed(tap, slope", "sign of the tangent of the grid"),
    Mutation(SAMPLE, "tangent[f] * stencil.second", "tangent[e] * stencil.second", "the wrong axis' tangent"),
    Mutation(
        SAMPLE,
        "gradient[e] += weighed(tap, stencil.derivative(tap, e), grad_output * moved",
        "gradient[e] -= weighed(tap, stencil.derivative(tap, e), grad_output * moved",
        "sign of the tangent of the input",
    ),
    Mutation(SAMPLE, ", grad_output * slope);", ", slope);", "second grad_input without grad_output"),
    Mutation(SAMPLE, "params.tangent_fill.at(at.n, c)", "params.fill.at(at.n, c)", "the fill value for its tangent"),
    Mutation(COORDINATES, "scalar_t(in_pixels ? 0 : 1)", "scalar_t(1)", "pixels taken for normalised coordinates"),
    Mutation(COORDINATES, "centres || in_pixels ?", "centres ?", "pixels counted from an edge"),
    Mutation(
        COORDINATES,
        "return axis.has_extent ? pixel : broadcast<value_t>(0);",
        "return pixel;",
        "an axis without extent: what isn't finite",
    ),
    Mutation(
        COORDINATES,
        "if (in_pixels) axis.scale =",
        "if (false) axis.scale =",
        "the slope of normalised coordinates for pixels",
    ),
    Mutation(PADDING, "return select(i < size, i, i - size);", "return i;", "circular: the tap behind the last pixel"),
    Mutation(PADDING, " - Numeric<value_t>::floor(x * axis.inverse_size) * size", "", "circular: whole periods not taken off"),
    Mutation(STENCIL, "if (axis.centre_takes_fill) taps", "if (false) taps", "border: a centre outside is clamped"),
    Mutation(STENCIL, "x >= scalar_t(-0.5)", "x >= scalar_t(0)", "border: half a pixel of the image takes the fill"),
    Mutation(STENCIL, "scalar_of<value_t>(1) - product(FillTap{}", "product(FillTap{}", "the fill weighs what is inside"),
    Mutation(STENCIL, "return -product(FillTap{}, e, -1)", "return product(FillTap{}, e, -1)", "sign of the fill's slope"),
    Mutation(STENCIL, "return -product(FillTap{}, e, f)", "return product(FillTap{}, e, f)", "sign of the fill's bend"),
    Mutation(
        PARAMS, "call.wants_source_gradient() ? call.grid_batch : call.batch", "call.batch", "a shared grid has many owners"
    ),
    Mutation(KERNELS, "user.n += params.owners", "user.n += params.batch", "one image uses a shared grid"),
    Mutation(LOCATION_SORT, "return call.input_batch;", "return call.batch;", "a shared image is sorted as many"),
    Mutation(FILL, "n += fill_batch", "n += batch", "one image reads a shared fill value"),
    Mutation(FILL, "weight.load(n, 0, location)", "weight.load(0, 0, location)", "every image has the first weights"),
    Mutation(
        SOURCE, "n * batch_stride + location * location_stride", "location * location_stride", "every image has the first grid"
    ),
    Mutation(SOURCE, "n * grad_batch_stride", "n * batch_stride", "strides of grid and grad_grid confused"),
    Mutation(ARRAYS, "c * channel_stride; }", "c * batch_stride; }", "strides of an image confused"),
    Mutation(
        ARRAYS,
        "c * channel_stride + location * location_stride",
        "c * location_stride + location * channel_stride",
        "strides of an output confused",
    ),
    Mutation(STORAGE, "(bits + half + odd) >> dropped", "(bits + half) >> dropped", "ties rounded down", "storage"),
    Mutation(STORAGE, "> detail::kFloatInfinity;", "> 0x7fffffffu;", "a NaN that rounds to infinity", "storage"),
    Mutation(STORAGE, "kOverflow = 0x477ff000u", "kOverflow = 0x477fe000u", "65504 overflows", "storage"),
    Mutation(
        STORAGE,
        "magnitude < 0x400u ? subnormal",
        "magnitude <= 0x400u ? subnormal",
        "the least normal as a subnormal",
        "storage",
        1,
        "equivalent: 0x400 steps of 2^-24 are the least normal, by both formulas",
    ),
    Mutation(
        GRID_KERNELS, "i >= params.batch * params.locations", "i > params.batch * params.locations", "one thread too many"
    ),
    Mutation(REDUCE, "  __syncthreads();\n", "", "no barrier in the sum over a block"),
    Mutation(REDUCE, "offset > 0", "offset > 1", "a lane is left out of a warp's sum"),
    Mutation(REDUCE, "warp = 1; warp < kWarps", "warp = 0; warp < kWarps", "the first warp counts twice"),
    Mutation(REDUCE, "warp < kWarps", "warp <= kWarps", "a warp too many"),
    Mutation(REDUCE, "thread % 32 == 0", "thread % 32 == 1", "the wrong lane's sum"),
    Mutation(REDUCE, "0xffffffffu", "0x0000ffffu", "half a warp's mask"),
    Mutation(GRID_KERNELS, "location += params.blocks * kThreads", "location += kThreads", "blocks overlap"),
    Mutation(THETA_KERNELS, "block += kThreads", "block += 2 * kThreads", "partial sums are left out"),
    Mutation(KERNELS, "live = i < images", "live = i <= images", "one thread too many"),
    Mutation(KERNELS, "    __syncthreads();\n", "", "no barrier between rows"),
    Mutation(
        KERNELS, "    __syncthreads();\n", "    if (at.live) __syncthreads();\n", "a barrier that idle threads don't reach"
    ),
    Mutation(KERNELS, "row < kChannelRows &&", "row < kChannelRows - 1 &&", "a row is left out"),
    Mutation(KERNELS, "if (blockDim.y > 1) {", "if (blockDim.y > 8) {", "rows are not summed"),
    Mutation(KERNELS, "at.live && threadIdx.y == 0", "threadIdx.y == 0", "idle threads store"),
    Mutation(KERNELS, "at.live && threadIdx.y == 0", "at.live", "every row stores"),
    Mutation(
        KERNELS, "this->channel = static_cast<index_t>(threadIdx.y)", "this->channel = 0", "every row begins at channel 0"
    ),
    Mutation(KERNELS, "atomicAdd(to, value);", "*to += value;", "a plain addition where others add"),
    Mutation(
        KERNELS,
        "if (params.source.wants_gradient()) take",
        "if (params.source.wants_gradient() && at.live) take",
        "idle threads leave early",
    ),
    Mutation(
        KERNELS, "if (!live) this->location = 0;", "", "positions behind the last location", equivalent="their gradient is 0"
    ),
    Mutation(KERNELS, "this->n = block / blocks;", "this->n = 0;", "blocks of the first image alone"),
    Mutation(THETA_KERNELS, "(n * blocks + block)", "(n + block)", "partial sums of other images"),
    Mutation(THETA_KERNELS, "threadIdx.x == 0 && threadIdx.y == 0", "threadIdx.x == 0", "every row writes a partial sum"),
    Mutation(BINS, "static_cast<bin_t>(n)", "0", "bins of all images are one"),
    Mutation(BINS, "reads = reads & any", "reads = reads | any", "a bin without pixels among the others"),
    Mutation(BINS, "return reads ? bin : bins", "return bin", "no bin for locations without a pixel"),
    Mutation(BINS, "axes[e].size + kReach)", "axes[e].size)", "bins of two rows overlap"),
    Mutation(BINS, "? kAxisTaps - 1 : 0", "? 0 : 0", "no bin before the first pixel"),
    Mutation(BINS, "one.derivative(0, e)", "one.derivative(0, 0)", "the slope of x on every axis"),
    Mutation(BINS, "kPadsCoordinate ? 1 : kTaps", "kPadsCoordinate ? 1 : 1", "one sort for bicubic"),
    Mutation(STENCIL, "one.index[0] = i == k ? taps.index[i]", "one.index[0] = i == 0 ? taps.index[i]", "the first tap always"),
    Mutation(SORTED_KERNELS, "i >= params.batch * params", "i > params.batch * params", "a key too many"),
    Mutation(SORTED_KERNELS, "(i == 0 || keys[i - 1] != keys[i])", "true", "every location starts a run"),
    Mutation(SORTED_KERNELS, "return i < count && keys[i] == key", "return i < count", "a run goes on to the end"),
    Mutation(REDUCE, "  __syncthreads();  // whoever", "  // whoever", "no barrier between two chunks of channels"),
    Mutation(REDUCE, "half > 0", "half > 1", "half of the columns are left out"),
    Mutation(SORTED_KERNELS, "if (!pixel.inside(0)) return;", "", "writes outside of the image"),
    Mutation(SORTED_KERNELS, "chunk += kChannelsAtOnce * rows", "chunk += kChannelsAtOnce", "channels are added again"),
    Mutation(SORTED_KERNELS, "c < params.channels ? params.grad_output", "true ? params.grad_output", "a channel too many"),
    Mutation(SORTED_KERNELS, "i += lanes", "i += 1", "every column walks the whole run"),
    Mutation(SORTED_KERNELS, "    if (lane > 0) continue;\n", "", "every column adds"),
    Mutation(SORTED_KERNELS, "k < columns / kLongRun", "k < 1", "the first long run of a block alone"),
    Mutation(SORTED_KERNELS, "own ? !starts || is_long :", "own ? !starts :", "long runs are added twice"),
    Mutation(SORTED_KERNELS, "sorted.in_run(i + kLongRun - 1", "sorted.in_run(i + 1", "two long runs in one block"),
    Mutation(SORTED_LAUNCHERS, "k < OfMode::kTapsOfSort", "k < 1", "one tap of a sort"),
    Mutation(SORTED_LAUNCHERS, "sort * OfMode::kTapsOfSort + k", "k", "the first tap of bicubic always"),
    Mutation(SORTED_LAUNCHERS, "if (error == 0) error = locations.sort(pairs, call.scratch, stream);", "", "not sorted"),
    Mutation(
        SORTED_LAUNCHERS, "narrow = largest_sorted_index(call) < index_limit()", "narrow = true", "sorted by 32 bits always"
    ),
    Mutation(LOCATION_SORT, "largest > 0", "largest > 1", "a bit of the keys is not sorted by"),
    Mutation(LOCATION_SORT, "(temporary_bytes + 255) / 256 * 256", "0", "keys in the sort's own memory"),
    Mutation(LOCATION_SORT, "largest /= 2) ++bits", "largest /= 2) bits = 1", "a sort by one bit"),
    Mutation(LOCATION_SORT, "bins = images_of(call)", "bins = 1", "keys of the first image alone"),
    Mutation(LOCATION_SORT, "e < call.dims", "e < 1", "bins of one row", "mapping"),
    Mutation(
        LOCATION_SORT, "std::max(largest_index(call), bins_of(call))", "largest_index(call)", "width without keys", "mapping"
    ),
    Mutation(LAUNCHERS, "narrow = largest_index(call) < index_limit()", "narrow = true", "32-bit indices always"),
    Mutation(TRANSFORM_LAUNCHERS, "largest_index(call) < index_limit()", "true", "gather: 32 bits always"),
    Mutation(TRANSFORM_LAUNCHERS, "largest_index(call) < index_limit()", "true", "generators: 32 bits always", nth=2),
    Mutation(TRANSFORM_LAUNCHERS, "blocks_of(call.batch * blocks)", "blocks_of(blocks)", "partial sums of one image"),
    Mutation(
        TRANSFORM_LAUNCHERS, "call.batch * call.transform.locations()", "call.transform.locations()", "a grid of one image"
    ),
    Mutation(
        TRANSFORM_LAUNCHERS,
        "mapping_for(call.input_batch * call.pixels(), call.channels)",
        "mapping_for(call.locations, call.channels)",
        "a thread a location that should have a pixel",
    ),
    Mutation(LAUNCH, "mapping_for(images * call.locations", "mapping_for(call.locations", "locations of one image"),
    Mutation(MAPPING, "(threads + kThreads - 1) / kThreads", "threads / kThreads", "the last block is missing", "mapping"),
    Mutation(MAPPING, "(locations + columns - 1) / columns", "locations / columns + 1", "an empty block", "mapping"),
    Mutation(MAPPING, "channels >= kChannelRows", "channels > 1", "more rows than channels", "mapping"),
    Mutation(MAPPING, "locations < kManyLocations", "locations <= kManyLocations", "rows for many locations", "mapping"),
    Mutation(MAPPING, ", &call.tangent_input}", "}", "width without tangent_input", "mapping"),
    Mutation(MAPPING, ", &call.tangent_grid, ", ", ", "width without tangent_grid", "mapping"),
    Mutation(
        MAPPING, "std::max(call.batch * call.locations, call.channels)", "call.channels", "width without locations", "mapping"
    ),
    Mutation(
        MAPPING,
        "extent_of_theta(transform, transform.theta_stride, call.batch), call.input_batch",
        "call.input_batch",
        "width without theta",
        "mapping",
    ),
    Mutation(MAPPING, "&transform.tangent_flow, ", "", "width without a flow's tangent", "mapping"),
    Mutation(MAPPING, ", call.input_batch * call.pixels()});", "});", "width without grad_input's pixels", "mapping"),
    Mutation(MAPPING, "(call.size[e] + 8)", "(call.size[e] - 2)", "no room for an image's last pixels", "mapping"),
    Mutation(
        MAPPING, "(call.transform.locations() + kPart - 1)", "call.transform.locations()", "no block for the rest", "mapping"
    ),
    Mutation(
        MAPPING,
        "(call.locations + columns - 1) / columns",
        "call.locations / columns",
        "no block for an image's rest",
        "mapping",
    ),
    Mutation(LAUNCH, "images * blocks_of_image(call, images)", "mapping.blocks", "blocks of several images", "mapping"),
    Mutation(CHUNK, "signs |= offset;", "signs = offset;", "near by the last tap alone", "wide_core"),
    Mutation(CHUNK, ": !any_bit(apart));", ": true);", "pairs that are apart", "wide_core"),
    Mutation(CHUNK, "kFollow ? located.stride[0] == 1 :", "kFollow ? true :", "pairs that are apart, inside", "wide_core"),
    Mutation(CHUNK, "kFollow ? position + stride :", "kFollow ? position :", "both taps are the first", "wide_core"),
    Mutation(CHUNK, "side_by_side = stride[0] == 1 &&", "side_by_side =", "pixels beside that are apart", "wide_core"),
    Mutation(CHUNK, "&& axes[0].size > 1;", ";", "pixels beside a row's only one", "wide_core"),
    Mutation(CHUNK, "first + second_is_out)", "first)", "the pixel behind the last one", "wide_core"),
    Mutation(CHUNK, "& ((offset | before) >= 0)", "", "taps outside for pairs that are apart", "wide_core"),
    Mutation(STENCIL, "(x < axis.last - kMargin)", "(x <= axis.last - kMargin)", "inside up to the last pixel", "wide_core"),
    Mutation(STENCIL, "(x > kMargin) &", "(x > kMargin - 1) &", "inside from the pixel before the first", "wide_core"),
    Mutation(PADDING, "using Inside = BetweenMirrors;", "using Inside = NoPadding;", "mirrors leave coordinates", "wide_core"),
    Mutation(CHUNK, "store_lanes(&chunk.fill[set][i], value_t{})", "(void)0", "a fill weighs as before", "wide_core"),
    Mutation(SCATTER, "if (offset >= 0) plane", "if (offset > 0) plane", "a first pixel without a sum", "cpu_planes"),
    Mutation(SCATTER, "if (offsets[i] >= 0) add", "if (offsets[i] > 0) add", "... of single taps", "cpu_planes"),
    Mutation(SCATTER, "planes[k][offset] += product[k]", "planes[k][offset] += product[0]", "all as the first", "cpu_planes"),
    Mutation(SCATTER, "if (near >= Near::kPairs)", "if (true)", "pairs that are apart, added as one", "cpu_planes"),
    Mutation(SCATTER, "if (chunk.is_inside())", "if (true)", "single taps outside are added", "cpu_planes"),
    Mutation(SCATTER, "products = at.of_pixels(products);", "", "products for the pixels of other taps", "cpu_planes"),
    Mutation(DOTS, "if (chunk.is_inside(i)) {", "if (true) {", "an infinite weight of nothing", "cpu_planes"),
    Mutation(DOTS, "adds ? load_lanes<value_t>(at) + product : product", "product", "one channel alone", "cpu_planes"),
    Mutation(DOTS, "adds ? dots[tap] + product : product", "product", "one channel alone, of few taps", "cpu_planes"),
    Mutation(DOTS, "totals[k] = load_lanes<value_t>(&reads[k][i]);", "totals[k] = {};", "what is read already", "cpu_planes"),
    Mutation(PLANES, "visit(k, planes[k]);", "visit(k, planes[0]);", "every channel reads the first one", "cpu_planes"),
    Mutation(LINE, "fold(i, i + 2, Pieces", "fold(i, i + 1, Pieces", "lanes left out of a sum", "cpu_lines"),
    Mutation(PARTS, "other != part && range", "other > part && range", "later parts dispute nothing", "cpu_parts"),
    Mutation(PARTS, "part = parts; part-- > 0;", "part = -1; ++part < parts;", "the last owns a cell", "cpu_parts"),
    Mutation(PARTS, "((last + 1) * stride - 1)", "(last * stride)", "a tile without its last row's end", "cpu_parts"),
    Mutation(PARTS, "part * cells;", "part;", "parts mark the same cells", "cpu_parts"),
    Mutation(OWNERSHIP, "if (all) keep_to_taps(chunk);", "", "zeros for pixels of other parts", "cpu_parts"),
    Mutation(OWNERSHIP, "== part; });", "== part, true; });", "the last tap's cell counts", "cpu_parts"),
    Mutation(OWNERSHIP, "!any_bit(cells != cells[0])", "true", "a vector's first location stands for all", "cpu_parts"),
    Mutation(OWNERSHIP, "!= part) == others", "!= part) != others", "a part takes what others own", "cpu_parts"),
    Mutation(
        PLANES, "k / 2 * 4 + k % 2 + 2 * half", "k / 2 * 4 + k % 2 * 2 + half", "pairs in another order of lanes", "cpu_planes"
    ),
    Mutation(PACKING, "lines[i * step + k] = 0;", "{}", "a line's tail is not zeroed", "cpu_lines"),
    Mutation(CHOICE, "call.channels < kLeastLineChannels", "call.channels <= kLeastLineChannels", "8 are few", "cpu_choice"),
    Mutation(CHOICE, "call.channels < line_length", "call.channels <= line_length", "a whole line in planes", "cpu_choice"),
    Mutation(CHOICE, "call.grid_batch != call.batch || ", "", "lines for a grid's several images", "cpu_choice"),
    Mutation(PARTITION, "call.batch * all, kMostBytesRead", "call.batch * all, 1 << 19", "too much scratch", "cpu_partition"),
    Mutation(PARTITION, "all_lines * i / groups * line", "channels * i / groups", "a line of two groups", "cpu_partition"),
    Mutation(PREFETCH, "extent_, first + kMost", "first + kMost", "pixels behind the image's last", "cpu_prefetch"),
    Mutation(PREFETCH, "most + kAhead * pixel_", "most", "not a pixel beyond the farthest tap", "cpu_prefetch"),
    Mutation(PREFETCH, "kMost * pixel_", "kMost", "as few elements of pixels apart", "cpu_prefetch"),
    Mutation(PREFETCH, "n_ = n, asked_ = least", "n_ = n", "an image begins where the last one ended", "cpu_prefetch"),
    Mutation(PREFETCH, "    asked_ = last;\n", "", "pixels asked for again", "cpu_prefetch"),
    Mutation(PREFETCH, "most - least > kUprightRows * row_", "true", "upright images, too", "cpu_prefetch"),
    Mutation(PREFETCH, "call.size[e] == 1", "false", "rows of an axis of one index", "cpu_prefetch"),
    Mutation(PREFETCH, "extent_ > kKept", "extent_ >= kKept", "a plane that is kept", "cpu_prefetch"),
    Mutation(PREFETCH, "kPerLocation * call.locations >= call.pixels()", "true", "however few locations", "cpu_prefetch"),
    Mutation(PREFETCH, "stride * size < kCacheLine", "stride * size < 0", "a line for each of its channels", "cpu_prefetch"),
    Mutation(PREFETCH, "at += kCacheLine", "at += 2 * kCacheLine", "every other line", "cpu_prefetch"),
    Mutation(PREFETCH, "(offsets >= 0) & ", "", "taps outside are the least", "cpu_prefetch"),
]
