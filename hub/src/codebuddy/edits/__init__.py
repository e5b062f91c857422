"""The edit engine: changes to any number of files in any number of projects, applied whole or not at all, and undone.

A `Draft` collects what is wanted into a `Plan`; the `EditEngine` checks, stages, journals and commits it; `recover`
finishes or reverts what a crash left behind; `undo` turns a committed plan around.
"""
