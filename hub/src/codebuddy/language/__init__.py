"""The language-server client: processes, sessions, documents, readiness, positions. It knows no tool."""
