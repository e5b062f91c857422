"""The agent: the process in each spoke that asks language servers and runs commands for the hub.

Only the command line imports this package, for `codebuddy spoke`; the hub never does.
"""
