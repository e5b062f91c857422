"""Commands and tasks: how they start and end, what they print, and what is kept of them.

Used by the agent's run tools. The supervisor and the fork server import the standard library only.
"""
