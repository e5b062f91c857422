"""What tests and compilers said, read from their output: no more than the standard library, and nothing is run."""
