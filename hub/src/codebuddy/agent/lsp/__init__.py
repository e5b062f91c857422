"""The language-server client: processes, documents, readiness, and notifications of changed files.

Used by the agent's code tools. It knows the protocol but none of the tools.
"""
