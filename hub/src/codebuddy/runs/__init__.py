"""Processes in a spoke: start, stream, bound, end."""
