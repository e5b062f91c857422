#include "measurements/measurements.hpp"

#include <charconv>
#include <stdexcept>

namespace measurements {

Measurement parse_measurement(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) {
    throw std::invalid_argument("'" + std::string(text) + "' is not of the form name=value.");
  }
  const auto number = text.substr(equals + 1);
  double value = 0;
  const auto end = number.data() + number.size();
  const auto result = std::from_chars(number.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) {
    throw std::invalid_argument("'" + std::string(number) + "' in '" + std::string(text) +
                                "' is not a number.");
  }
  return {std::string(text.substr(0, equals)), value};
}

} // namespace measurements
