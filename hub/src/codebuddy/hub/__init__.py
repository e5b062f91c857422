"""The hub: the MCP server for clients, with the files of every project and a link to every spoke.

Only the command line imports this package, for `codebuddy serve`; the agent never does.
"""
