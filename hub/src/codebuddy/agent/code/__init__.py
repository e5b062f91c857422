"""Questions about code, answered from what language servers know.

Used by the agent's code tools. Each module turns one family of questions into requests and their answers into schemas.
"""
