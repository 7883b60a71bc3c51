"""cape: one manifest and one lock for all that a project needs to run, from libc to answer."""

__version__ = "0.1.0"
