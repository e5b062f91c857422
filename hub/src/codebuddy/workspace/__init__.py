"""Files of a project, never outside it: confinement, reading, writing, search, text."""
