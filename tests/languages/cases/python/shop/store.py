from typing import Generic, TypeVar

from generated.limits import MAX_SHAPES
from shop.shapes import Base

Item = TypeVar("Item", bound=Base)


class Store(Generic[Item]):
    def __init__(self) -> None:
        self.items: list[Item] = []

    def add(self, item: Item) -> None:
        if len(self.items) < MAX_SHAPES:
            self.items.append(item)

    def largest(self) -> Item | None:
        return max(self.items, key=lambda item: item.area(), default=None)
