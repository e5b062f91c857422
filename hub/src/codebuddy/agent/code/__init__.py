"""Questions about code, and edits of code, answered by language servers.

Used by the agent's code tools. Each module turns one family of tools into LSP requests and the answers into schemas.
"""
