"""The HTTP side of the relay (docs/protocol.md): requests in, records out. Asks the `Service`, records nothing."""
