"""One module for each format: `read(stream, *, size_bytes=None) -> Header`, and `pickles.scan`.

A module owns its format's layout and limits. Which format a file has is `recognition`'s to say.
"""
