"""Readers of test reports and compiler output, which give counts, failures and diagnostics.

Used by the agent's runs. Input is untrusted, so every reader is bounded and runs in linear time. Standard library only.
"""
