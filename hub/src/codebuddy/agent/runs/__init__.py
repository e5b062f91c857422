"""Runs of commands and tasks: starting and ending processes, keeping their output, background jobs.

Used by the agent's run tools. The supervisor and the fork server import the standard library only.
"""
