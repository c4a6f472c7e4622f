"""Python objects as sources: iterators of whatever kind, run where they belong."""
