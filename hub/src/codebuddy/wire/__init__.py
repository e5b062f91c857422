"""JSON-RPC messages and how they travel between hub and agent, and between a client and the program.

Used by the hub, the agent and the command line. It knows no tool and imports nothing of either process.
"""
