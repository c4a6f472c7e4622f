"""Models by name: who serves them, how each API is asked, and what other packages add."""
