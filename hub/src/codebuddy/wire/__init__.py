"""JSON-RPC and MCP messages, and the channels that carry them between client, hub and agent.

Used by the hub, the agent and the command line. It knows no particular tool and imports neither `hub` nor `agent`.
"""
