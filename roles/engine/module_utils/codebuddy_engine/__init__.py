"""An engine: whether one answers and where, and how it is started where no service manager does that."""
