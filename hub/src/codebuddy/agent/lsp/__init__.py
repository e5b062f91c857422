"""The language-server client: processes, documents, readiness, and keeping servers informed of changed files.

Used by the agent's code package. It knows the protocol but no tool.
"""
