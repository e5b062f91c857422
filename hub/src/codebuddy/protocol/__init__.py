"""MCP on the wire: the kernel that serves a message of either era, and the transports. They know no tool."""
