"""The edit engine: changes to files that are applied as a whole or not at all, survive a crash, and can be undone.

Used by the hub's tools. A draft becomes prepared steps, the engine applies them, the journal records them.
"""
