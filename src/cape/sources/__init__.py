"""Ecosystems that packages come from, one package each, all behind the Protocol of `protocol`.

Owns the adapters to registries and to the tools of each ecosystem. No manifest, no lock and no store
belongs here: a source gets requirements and gives locked packages, URLs, and unpacked files.
"""
