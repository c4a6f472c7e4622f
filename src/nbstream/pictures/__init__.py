"""What a log tells, to look at: a stream over time, and its wire."""
