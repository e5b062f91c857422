"""Sums up measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One number that was measured, and what it was measured of."""

    name: str
    value: float


@dataclass(frozen=True)
class Summary:
    """What a list of measurements comes to."""

    count: int
    mean: float
    largest: str


def process_data(measurements: Sequence[Measurement]) -> Summary:
    """Sum up measurements.

    Raises:
        ValueError: there are none.
    """
    if not measurements:
        raise ValueError("There are no measurements to sum up.")
    largest = max(measurements, key=lambda one: one.value)
    mean = sum(one.value for one in measurements) / len(measurements)
    return Summary(count=len(measurements), mean=mean, largest=largest.name)
