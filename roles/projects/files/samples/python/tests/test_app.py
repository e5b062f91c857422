import pytest

from service.app import summarise


def test_answers_with_a_summary():
    status, answer = summarise(b'{"a": 1, "b": 2}')
    assert (status, answer) == (200, {"count": 2, "mean": 1.5, "largest": "b"})


@pytest.mark.parametrize("body", [b"", b"[1]", b"{}", b'{"a": "x"}'])
def test_says_what_is_wrong_with_a_bad_request(body):
    status, answer = summarise(body)
    assert status == 400
    assert answer["error"]
