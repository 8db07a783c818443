"""Load tests of targets, and what each query budget buys."""
