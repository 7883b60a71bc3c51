"""Environments that leave the store: one self-extracting file, an OCI image, a Kubernetes manifest.

Owns what is carried and its forms on disk, equal to the byte from any store. It makes no environment,
and locks, fetches and publishes nothing.
"""
