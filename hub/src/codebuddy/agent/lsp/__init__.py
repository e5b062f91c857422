"""The language-server client: processes, documents, readiness, and notifications of changed files.

The agent's code tools use it. It knows the protocol but none of the tools.
"""
