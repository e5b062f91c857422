"""How the hub and the agents are: health, metrics."""
