"""Models of the tools' arguments and answers, which hub and agent share.

Used by the hub, the agent and their clients. It imports neither `hub` nor `agent`.
"""
