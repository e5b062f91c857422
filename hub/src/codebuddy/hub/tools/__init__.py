"""The hub's MCP tools, one module per family: the descriptions that clients see, and the handlers.

Used by the hub's app. Tools know no transport; they pass questions about code, and runs, on to the spokes.
"""
