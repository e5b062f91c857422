#include "measurements/measurements.hpp"

#include <cstdio>
#include <map>
#include <stdexcept>

using measurements::parse_measurement;
using measurements::process_data;
using measurements::Summary;

namespace {

bool counts_averages_and_finds_the_largest() {
  const auto summary = process_data({parse_measurement("a=1"), parse_measurement("b=5")});
  return summary == Summary{2, 3.0, "b"};
}

bool nothing_comes_to_nothing() { return process_data({}) == std::nullopt; }

bool is_refused(std::string_view text, std::string_view because) {
  try {
    parse_measurement(text);
  } catch (const std::invalid_argument &problem) {
    return std::string_view(problem.what()).find(because) != std::string_view::npos;
  }
  return false;
}

bool says_what_is_wrong() {
  return is_refused("depth", "name=value") && is_refused("depth=deep", "not a number");
}

const std::map<std::string, bool (*)()> tests = {
    {"summary", counts_averages_and_finds_the_largest},
    {"empty", nothing_comes_to_nothing},
    {"wrong", says_what_is_wrong},
};

} // namespace

int main(int count, char **arguments) {
  const auto test = count == 2 ? tests.find(arguments[1]) : tests.end();
  if (test == tests.end()) {
    std::fprintf(stderr, "Name one test: summary, empty or wrong.\n");
    return 2;
  }
  return test->second() ? 0 : 1;
}
