from shop.formatting import render as rendered
from shop.shapes import Base, Circle, Shape, Square
from shop.store import Store

__all__ = ["Base", "Circle", "Shape", "Square", "Store", "rendered"]
