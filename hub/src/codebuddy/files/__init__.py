"""Access to the files of a project, confined to it: paths, opening, walking, searching, text and cursors.

Used by the hub, which edits all projects, and by the agent, which reads its own. It imports nothing of either process.
"""
