"""How the hub and the agents are: what they tell of themselves, and what is made of it."""
