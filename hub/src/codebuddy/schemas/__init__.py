"""The models of every tool's arguments and answers, which hub and agent agree on.

Used by the hub, the agent and their clients. It imports nothing of either process.
"""
