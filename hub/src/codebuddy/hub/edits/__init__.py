"""The edit engine: applies changes to files completely or not at all, survives crashes, and can undo every edit.

Used by the hub's tools through the `Editor`. A `Draft` collects changes into a `Plan`, `prepare` turns it into steps,
`EditEngine` applies them, and the journal records both.
"""
