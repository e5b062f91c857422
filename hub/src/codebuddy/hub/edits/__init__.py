"""The edit engine: applies changes to files completely or not at all, survives crashes, and can undo every edit.

A `Draft` collects changes into a `Plan`, `prepare` turns it into steps, `EditEngine` applies them, and the journal
records both. The tools use the `Editor`.
"""
