"""What a file of weights says of itself: its format, tensors, metadata, licence, and whether it runs code.

Owns the readers of headers (GGUF, safetensors, ONNX) and of pickles. They are pure functions of bytes, read
only what they need, and believe no number of a file before it was compared with what is there. Where a file
came from, the network, and what a manifest allows must never be put here; no format's own library is used,
and nothing of a file is ever run.
"""
