#pragma once

namespace stn {

// Each family of modes is an enum, a list of what is supported with its names, and a struct a mode (interpolation.h,
// padding.h). Nothing else names a mode: dispatch.h folds over the lists, and Python reads them from stn_cuda._C.

enum class InterpolationMode : int { kBilinear = 0, kNearest = 1, kBicubic = 2 };
enum class PaddingMode : int { kZeros = 0, kBorder = 1, kReflection = 2, kCircular = 3 };

/// What a grid's numbers mean: -1 and 1 are the outer edges of the end pixels (align_corners=False) or their centres (True); or
/// they are pixels, 0 the centre of the first one, on an axis that goes from edge to edge or from centre to centre otherwise.
enum class CoordinateConvention : int { kEdges = 0, kCentres = 1, kPixels = 2, kCentrePixels = 3 };

/// What takes a location's own position to its coordinate (transform.h).
enum class TransformKind : int { kAffine = 0, kProjective = 1, kFlow = 2 };

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
    {PaddingMode::kCircular, "circular"},
};
inline constexpr Named<CoordinateConvention> kCoordinateConventions[] = {
    {CoordinateConvention::kEdges, "edges"},
    {CoordinateConvention::kCentres, "centres"},
    {CoordinateConvention::kPixels, "pixels"},
    {CoordinateConvention::kCentrePixels, "centre_pixels"},
};
inline constexpr Named<TransformKind> kTransformKinds[] = {
    {TransformKind::kAffine, "affine"},
    {TransformKind::kProjective, "projective"},
    {TransformKind::kFlow, "flow"},
};

}  // namespace stn
