#include "measurements/measurements.hpp"

#include <cstdio>
#include <exception>

int main(int count, char **arguments) {
  std::vector<measurements::Measurement> given;
  try {
    for (int index = 1; index < count; ++index) {
      given.push_back(measurements::parse_measurement(arguments[index]));
    }
  } catch (const std::exception &problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return 1;
  }
  const auto summary = measurements::process_data(given);
  if (!summary) {
    std::fprintf(stderr, "There are no measurements to sum up.\n");
    return 1;
  }
  std::printf("%zu measurements, mean %.2f, largest %s\n", summary->count, summary->mean,
              summary->largest.c_str());
  return 0;
}
