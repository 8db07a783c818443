"""Tests of the model zoo. They need torch (the ``models`` extra) and fail without it: `make test-models`."""
