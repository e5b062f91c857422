"""What single language servers do otherwise than the protocol says, by the name that they give themselves."""

from __future__ import annotations

from typing import Final

__all__ = ["CHANGE_TEXT_ONLY", "COUNT_CODE_POINTS", "GIVE_WHOLE_TEXTS", "INDEX_LATE"]

COUNT_CODE_POINTS: Final = ("pylsp",)
"""They count columns in code points and do not say so: python-lsp-server takes and gives jedi's columns as they are.
One that learns to do it right will say so, and what it says goes before this."""

GIVE_WHOLE_TEXTS: Final = ("pylsp",)
"""A rename gives the whole text of each file, with an end of range that is wrong in a file without line break."""

CHANGE_TEXT_ONLY: Final = ("pylsp",)
"""A module is renamed without its file, and by another name also the thing itself but not its imports."""

INDEX_LATE: Final = ("clangd",)
"""Until a document is compiled they answer from the index of the text before, and complete with whatever has a name
anywhere. The symbols of a document come after that only."""
