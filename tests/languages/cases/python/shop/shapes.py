from abc import ABC, abstractmethod
from typing import Protocol

from shop.formatting import render


class Shape(Protocol):
    """A thing with an area."""

    name: str

    def area(self) -> float: ...


class Base(ABC):
    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def area(self) -> float: ...

    def describe(self) -> str:
        return f"{self.name}: {render(self.area())}"


class Circle(Base):
    def __init__(self, radius: float) -> None:
        super().__init__("circle")
        self.radius = radius

    def area(self) -> float:
        return 3.14159 * self.radius**2


class Square(Base):
    def __init__(self, side: float) -> None:
        super().__init__("square")
        self.side = side

    def area(self) -> float:
        return self.side**2

    def describe(self) -> str:
        return f"{super().describe()}, and straight"
