"""What the frames of a stream say: one reader a format, and the one that finds out."""
