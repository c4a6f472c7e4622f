"""The way to a relay: every connection proves itself, a stream is followed over events or polls."""
