"""How each model service is spoken to: what an agent sends to it, and what it answers.

Each module has `PATH`, a pattern of the addresses that it serves, `read`, which takes a request apart, and `write`,
which puts an answer into the form that the agent asked for.
"""
