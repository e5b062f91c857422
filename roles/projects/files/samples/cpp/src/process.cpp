#include "measurements/measurements.hpp"

#include <algorithm>

namespace measurements {

std::optional<Summary> process_data(const std::vector<Measurement> &measurements) {
  if (measurements.empty()) {
    return std::nullopt;
  }
  double total = 0;
  for (const auto &one : measurements) {
    total += one.value;
  }
  const auto largest = std::max_element(
      measurements.begin(), measurements.end(),
      [](const Measurement &a, const Measurement &b) { return a.value < b.value; });
  return Summary{measurements.size(), total / static_cast<double>(measurements.size()),
                 largest->name};
}

} // namespace measurements
