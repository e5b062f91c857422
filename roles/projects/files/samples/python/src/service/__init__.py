"""A service that sums up measurements."""
