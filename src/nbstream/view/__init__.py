"""Views: readers of the log that show it."""
