"""The clients and agents that people use, installed from npm and PyPI and driven by a scripted model."""
