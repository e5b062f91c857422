"""Images tagged by content: what each consists of (pure), the order of builds, and the builds on an engine."""
