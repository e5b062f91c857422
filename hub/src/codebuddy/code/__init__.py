"""Questions about code: asked of the language servers, answered in the terms of the tools, or said to be incomplete."""
