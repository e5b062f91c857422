"""Test reports and compiler output, read into counts, failures and diagnostics.

Used by the agent's runs. Input is untrusted, so every parser is bounded and runs in linear time.
"""
