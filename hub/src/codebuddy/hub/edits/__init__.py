"""The edit engine: it applies edits whole or not at all, survives a crash at any instant, and can undo them.

Used by the hub's tools. A draft becomes prepared steps, the engine applies the steps, the journal records them.
"""
