"""Confined access to a project's files: paths, opening, walking, searching, text and cursors.

Used by the hub, for all projects, and by the agent, for its own. It imports neither `hub` nor `agent`.
"""
