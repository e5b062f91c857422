"""CodeBuddy: one MCP hub for many sealed projects, and the agent that runs in each project's container."""

__version__ = "0.1.0"
