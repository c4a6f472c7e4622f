"""The recorder outside the kernel: a small process that a kernel restart does not touch."""
