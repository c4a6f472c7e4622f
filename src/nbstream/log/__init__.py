"""The store: one append-only log per stream (contract), in memory or on disk."""
