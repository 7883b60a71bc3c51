"""Registries on loopback for tests: a plain server that can misbehave, a Python index, an npm registry."""
