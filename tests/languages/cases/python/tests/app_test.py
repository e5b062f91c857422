from shop import Square
from shop.app import build, report


def test_report() -> None:
    assert report(build([2, 3])) == "9!"


def test_square() -> None:
    square = Square(2)
    assert square.describe() == "square: 4, and straight"
    assert square.area() == 4
