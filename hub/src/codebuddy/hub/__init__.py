"""The hub: the MCP server that clients talk to, with every project's files and a link to every spoke.

Only the command line imports this package, for `codebuddy serve`; the agent never does.
"""
