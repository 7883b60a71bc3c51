"""Programs of system packages, each in an environment of its own, on the host and without it."""
