// The gradients in planes, of parts of an image's locations; see parts.h.
#pragma once
#include "plane_gradients.inl"

namespace stn::cpu {
namespace {

/// body(tile, location, count) for the tiles of a part.
template <typename Body>
void for_each_tile(const SampleCall& call, const LocationParts& parts, int64_t part, Body&& body) {
  for (int64_t tile = parts.first_tile(part); tile < parts.first_tile(part + 1); ++tile) {
    const int64_t location = tile * kTile;
    body(tile, location, static_cast<int>(std::min<int64_t>(kTile, call.locations - location)));
  }
}

/// Which taps of a tile are taken.
Taken taken_of(const SampleCall& call, const LocationParts& parts, int64_t n, int64_t part, int64_t tile, Taken::Which which) {
  return {which, parts.owners(call, n), part, parts.shared(call, n) + tile * (kTile / kChunk)};
}

/// Writes where tiles may have taps in grad_input. LocationParts.
template <typename terms_t>
void tile_ranges(terms_t& terms, int64_t begin, int64_t end) {
  const SampleCall& call = terms.call;
  const LocationParts parts(call);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, part] = parts.at(unit);
    CellRange* ranges = parts.ranges(call, n);
    for_each_tile(call, parts, part, [&](int64_t tile, int64_t location, int count) {
      terms.go_to(n, location, count);
      const auto [first, last] = terms.rows(count);
      ranges[tile] = parts.of_rows(call, first, last);
    });
  }
}

/// Marks the cells of grad_input in which disputed tiles have taps. LocationParts.
template <typename terms_t>
void mark_parts(terms_t& terms, int64_t begin, int64_t end) {
  const SampleCall& call = terms.call;
  const LocationParts parts(call);
  terms.set_strides(call.grad_input.axis_stride, nullptr);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, part] = parts.at(unit);
    const uint8_t* disputed = parts.disputed(call, n);
    uint8_t* marks = parts.marks(call, n, part);
    std::memset(marks, 0, static_cast<size_t>(parts.cells));
    for_each_tile(call, parts, part, [&](int64_t tile, int64_t location, int count) {
      if (!disputed[tile]) return;
      terms.go_to(n, location, count);
      for (int first = 0; first < count; first += kChunk) {
        terms.take(first, std::min(kChunk, count - first));
        mark_cells(terms.own->chunk, marks);
      }
    });
  }
}

/// Adds to the cells of grad_input, which is zeros, that a part owns, and writes the source's gradient. LocationParts.
template <bool kWantsSource, typename terms_t>
void part_gradients(terms_t& terms, int64_t begin, int64_t end) {
  const SampleCall& call = terms.call;
  const LocationParts parts(call);
  PlaneGradients<terms_t, true, kWantsSource> gradients(terms);
  for (int64_t unit = begin; unit < end; ++unit) {
    const auto [n, part] = parts.at(unit);
    const uint8_t* disputed = parts.disputed(call, n);
    for_each_tile(call, parts, part, [&](int64_t tile, int64_t location, int count) {
      const auto which = disputed[tile] ? Taken::kOwn : Taken::kAll;
      if (kWantsSource) gradients.begin();
      terms.go_to(n, location, count);
      gradients.add_all(n, location, count, taken_of(call, parts, n, part, tile, which));
      if (kWantsSource) gradients.finish(n * parts.tiles + tile, n, location, count);
    });
  }
}

/// Adds what parts have left to the cells of others. InputUnits.
template <typename terms_t>
void rest_of_parts(terms_t& terms, int64_t begin, int64_t end) {
  const SampleCall& call = terms.call;
  const LocationParts parts(call);
  const InputUnits units(call);
  PlaneGradients<terms_t, true, false> gradients(terms);
  for (int64_t number = begin; number < end && terms.own; ++number) {
    const auto [n, first_channel, last_channel] = units.at(number);
    const uint8_t* disputed = parts.disputed(call, n);
    for (int64_t part = 1; part < parts.parts; ++part) {
      for_each_tile(call, parts, part, [&](int64_t tile, int64_t location, int count) {
        const Taken taken = taken_of(call, parts, n, part, tile, Taken::kRest);
        if (!disputed[tile] || !std::memchr(taken.shared, 1, static_cast<size_t>(ceil_divide(count, kChunk)))) return;
        terms.go_to(n, location, count);
        gradients.add(n, location, count, first_channel, last_channel, taken);
      });
    }
  }
}

}  // namespace
}  // namespace stn::cpu
