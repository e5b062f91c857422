"""The language-server client: processes, documents, readiness, and what a server knows of changed files.

Used by the agent's questions about code. It knows the protocol but no tool.
"""
