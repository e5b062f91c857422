#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Sums up measurements.
namespace measurements {

/// One number that was measured, and what it was measured of.
struct Measurement {
  std::string name;
  double value;
};

/// What a list of measurements comes to.
struct Summary {
  std::size_t count;
  double mean;
  std::string largest;

  bool operator==(const Summary &) const = default;
};

/// Sums up measurements; nothing when there are none.
std::optional<Summary> process_data(const std::vector<Measurement> &measurements);

/// Reads a measurement written as `name=value`; throws std::invalid_argument, which says what is
/// wrong with the text.
Measurement parse_measurement(std::string_view text);

} // namespace measurements
