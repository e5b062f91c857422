"""The agent in a project's container: dials the hub and serves that project's tools."""
