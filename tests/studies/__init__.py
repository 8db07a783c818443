"""Experiments behind statements in README and docs that no campaign can measure. Run by hand, never by CI."""
