"""Environments: what a lock comes to on one machine, how a project moves between them, and life inside.

Owns plans, the making of objects from artifacts, their merge into an environment, relocation, what
maintainer scripts would have done, generations, activation and sealed scripts. It must never import a
concrete source or ask the network: how an artifact is unpacked comes in as a callable.
"""
