#pragma once

namespace stn {

// Each family of modes is an enum, a list of what is supported with its names, and a struct a mode (interpolation.h,
// padding.h). Nothing else names a mode: dispatch.h folds over the lists, and Python reads them from stn_cuda._C.

enum class InterpolationMode : int { kBilinear = 0, kNearest = 1, kBicubic = 2 };
enum class PaddingMode : int { kZeros = 0, kBorder = 1, kReflection = 2 };

/// What a grid's -1 and 1 mean: the outer edges of the end pixels (align_corners=False) or their centres (True).
enum class CoordinateConvention : int { kEdges = 0, kCentres = 1 };

template <typename enum_t>
struct Named {
  enum_t value;
  const char* name;
};

inline constexpr Named<InterpolationMode> kInterpolationModes[] = {
    {InterpolationMode::kBilinear, "bilinear"},
    {InterpolationMode::kNearest, "nearest"},
    {InterpolationMode::kBicubic, "bicubic"},
};
inline constexpr Named<PaddingMode> kPaddingModes[] = {
    {PaddingMode::kZeros, "zeros"},
    {PaddingMode::kBorder, "border"},
    {PaddingMode::kReflection, "reflection"},
};
inline constexpr Named<CoordinateConvention> kCoordinateConventions[] = {
    {CoordinateConvention::kEdges, "edges"},
    {CoordinateConvention::kCentres, "centres"},
};

}  // namespace stn
