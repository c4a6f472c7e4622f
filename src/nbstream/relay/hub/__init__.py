"""The relay as a service: many users, their tokens, and keys that stay on the server."""
