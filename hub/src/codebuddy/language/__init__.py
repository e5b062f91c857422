"""The language-server client: framing, session, documents, readiness, positions, results."""
