"""What servers say in prose, in the three forms that the protocol has for it, as Markdown of bounded length."""

from __future__ import annotations

from typing import Any, Final

from codebuddy.language.positions import clean

__all__ = ["CUT", "clipped", "markdown", "text_of"]

CUT: Final = "\n[…]"
"""Stands at the end of a text that was cut."""


def markdown(value: Any) -> str:
    """Give MarkupContent, MarkedString or a list of these as Markdown (LSP 3.17, "Hover").

    Raises:
        ValueError: it is none of these.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return "\n\n".join(text for text in map(markdown, value) if text)
    text = value.get("value") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise ValueError("a text that is none")
    language = value.get("language")
    return f"```{clean(language)}\n{clean(text)}\n```" if isinstance(language, str) else clean(text)


def clipped(text: str, longest: int) -> str:
    """Cut a text that is too long, and say so at its end."""
    return text if len(text) <= longest else text[:longest] + CUT


def text_of(value: Any, longest: int) -> str | None:
    """Give a field of text or prose, cut; None if there is none or it is malformed."""
    try:
        return clipped(markdown(value), longest) or None
    except ValueError:
        return None
