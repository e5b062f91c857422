"""The tools, one module a family: schema and handler, nothing else. They know no transport."""
