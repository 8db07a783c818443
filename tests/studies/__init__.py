"""Experiments behind statements in README: what a campaign's search cannot tell. Run by hand, never by CI."""
