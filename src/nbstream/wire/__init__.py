"""Bytes to events and back: one module for each format on the wire."""
