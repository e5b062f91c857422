from typing import overload


@overload
def render(value: float) -> str: ...
@overload
def render(value: str, width: int) -> str: ...
def render(value: float | str, width: int = 0) -> str:
    """Write a value with a width."""
    return str(value).rjust(width)
