"""Commands and tasks: how they start and end, what they print, and what is kept of them.

The supervisor and the fork server use the standard library only.
"""
