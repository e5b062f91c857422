"""Images by content: what each is made of (pure), in which order they are built, and the engine that builds them."""
