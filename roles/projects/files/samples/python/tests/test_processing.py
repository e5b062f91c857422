import pytest

from service.processing import Measurement, Summary, process_data


def test_counts_averages_and_finds_the_largest():
    measurements = [Measurement("a", 1), Measurement("b", 5)]
    assert process_data(measurements) == Summary(count=2, mean=3, largest="b")


def test_refuses_an_empty_list():
    with pytest.raises(ValueError, match="no measurements"):
        process_data([])
