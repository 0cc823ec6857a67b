"""What each CUDA kernel may take of a multiprocessor, and why where that is a frame or a spill. resources.py compares."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """Of the kernels whose name, dtype included, the pattern is found in: the most of each, over all architectures."""

    pattern: str
    registers: int
    frame: int = 0  # bytes of a thread's stack frame
    spills: int = 0  # bytes of spill stores and loads
    reason: str = ""


# The first that fits counts. Registers: the most that nvcc 13.0 took on any architecture, rounded up to the 8 that are allotted
# at once. A multiprocessor has 65536 of them, so with blocks of 256 threads up to 64 mean four blocks at once, up to 80 three,
# up to 128 two, and more than that one.
ROLLED = "the loop over z is rolled, so that this axis' weights are looked up in a frame"
LIVE = "16 taps with first and second derivatives are live at once, and a thread has 255 registers"
ONE_MORE = "ptxas spills a few registers where that makes room for one block more, see kMinBlocks"
SEARCH = "the half spaces of a search stay in registers while each bounds the others; the kernel waits for memory"
LIMITS = (
    Limit(r"^gather.* 3-D .* 64 bits double", 255, 688, 1512, SEARCH),
    Limit(r"^gather.* 3-D .* double", 255, 600, 1252, SEARCH),
    Limit(r"^gather.* 64 bits double", 255, 80, 188, SEARCH),
    Limit(r"^gather.* 3-D .* 64 bits", 255, 16, 40, SEARCH),
    Limit(r"^gather.* 3-D", 255, reason=SEARCH),
    Limit(r"^gather.* double", 255, reason=SEARCH),
    Limit(r"^gather", 232, reason=SEARCH),
    Limit(r"^theta sums 3-D", 80),
    Limit(r"^transform grid backward 3-D.* double", 168),
    Limit(r"^transform grid backward 2-D.* 64 bits double", 120),
    Limit(r"^transform grid backward 2-D", 104),
    Limit(r"^transform grid backward", 128),
    Limit(r"^transform grid 3-D.* double", 80),
    Limit(r"^backward of transforms 2-D bicubic", 255),
    Limit(r"^backward of transforms 2-D bilinear.* 64 bits double", 112),
    Limit(r"^backward of transforms 2-D bilinear.* (64 bits|double)", 80, 48, 96, ONE_MORE),
    Limit(r"^backward of transforms 3-D bicubic", 160, 312, 0, ROLLED),
    Limit(r"^backward of transforms 3-D bilinear.* 64 bits double", 184),
    Limit(r"^backward of transforms 3-D bilinear.* double", 160, 24, 52, ONE_MORE),
    Limit(r"^backward of transforms 3-D bilinear", 128, 16, 24, ONE_MORE),
    Limit(r"^backward of transforms 3-D nearest", 88),
    Limit(r"^forward of transforms 2-D bicubic", 160),
    Limit(r"^forward of transforms 3-D bicubic", 112, 216, 0, ROLLED),
    Limit(r"^forward of transforms 3-D bilinear", 80, 8, 8, ONE_MORE),
    Limit(r"^forward of transforms 2-D nearest.* double", 40, 8, 8, ONE_MORE),
    Limit(r"^forward 3-D bicubic", 120, 216, 0, ROLLED),
    Limit(r"^sorted backward of the backward 3-D bicubic.* 64 bits double", 128, 16, 24, "a few more than two blocks leave it"),
    Limit(r"^sorted.* double", 128, reason="two blocks at once, as kSortedMinBlocks asks"),
    Limit(r"^sorted", 80, reason="three blocks at once, likewise"),
    Limit(r"^location keys .* bicubic.* double", 64),
    Limit(r"^location keys", 48),
    Limit(r"^backward 3-D bicubic", 152, 312, 0, ROLLED),
    Limit(r"3-D bicubic", 176, 408, 0, ROLLED),
    Limit(r"^double backward 2-D bicubic.* 64 bits double", 255, 520, 1256, LIVE),
    Limit(r"^double backward 2-D bicubic.* double", 255, 288, 584, LIVE),
    Limit(r"^double backward 2-D bicubic.* 64 bits", 255, 96, 256, LIVE),
    Limit(r"^double backward 2-D bicubic", 255, reason=LIVE),
    Limit(r"^double backward 1-D bicubic", 104),
    Limit(r"^double backward 3-D bilinear.* 64 bits", 255),
    Limit(r"^double backward 3-D bilinear.* double", 232),
    Limit(r"^double backward 3-D bilinear", 168, 8, 20, ONE_MORE),
    Limit(r"^double backward 2-D bilinear.* 64 bits double", 128),
    Limit(r"^double backward 2-D bilinear.* 64 bits", 104),
    Limit(r"^double backward 2-D bilinear.* double", 120),
    Limit(r"^double backward 2-D bilinear", 80, 8, 16, ONE_MORE),
    Limit(r"^double backward 1-D bilinear.* 64 bits double", 64, 16, 64, ONE_MORE),
    Limit(r"^double backward .-D nearest", 64, 32, 64, ONE_MORE),
    Limit(r"^double backward", 64),
    Limit(r"^backward 2-D bicubic", 248),
    Limit(r"^backward 1-D bicubic.* double", 72),
    Limit(r"^backward 3-D bilinear.* 64 bits", 168, 32, 80, ONE_MORE),
    Limit(r"^backward 3-D bilinear.* double", 128),
    Limit(r"^backward 3-D bilinear", 112, 8, 20, ONE_MORE),
    Limit(r"^backward 2-D bilinear.* 64 bits", 80, 8, 40, ONE_MORE),
    Limit(r"^backward 2-D bilinear.* 32 bits float", 64),
    Limit(r"^backward 2-D bilinear", 80, 8, 16, ONE_MORE),
    Limit(r"^forward 2-D bicubic", 160),
    Limit(r"^forward 1-D bicubic.* double", 72),
    Limit(r"^forward 3-D bilinear.* 64 bits", 80),
    Limit(r"^forward .-D nearest", 48),
    Limit(r"^forward [12]-D bilinear.* 64 bits", 64),
    Limit(r"^forward [12]-D bilinear", 48),
    Limit(r"^transform grid backward .-D", 80),
    Limit(r"^fill gradient", 64, 8, 8, ONE_MORE),
    Limit(r"", 64),
)
