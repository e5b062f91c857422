"""Commands and tasks: how they start, what they print, how they end, and what is kept of them.

Used by the agent's run tools. The supervisor and the fork server use the standard library only.
"""
