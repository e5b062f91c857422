"""Parsers of test reports and compiler output: counts, failures and diagnostics.

Used by the agent's runs package. Input is untrusted, so every parser is bounded and runs in linear time.
"""
