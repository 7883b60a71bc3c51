"""The real `cape` command, started as a program in fresh directories, against registries on loopback."""
