from shop import Base, Circle, Square, Store, rendered
from words import shout


def build(sides: list[float]) -> Store[Base]:
    store = Store[Base]()
    for side in sides:
        store.add(Square(side))
    store.add(Circle(1))
    return store


def report(store: Store[Base]) -> str:
    largest = store.largest()
    return shout(rendered(largest.area()) if largest else rendered("none", 6))
