"""Which variants `[options] gpu = "auto"` stands for: one table, with where each row is known from.

It holds facts of packages, and decides nothing. A row's index is one that the machine's owner configures;
what the default index serves has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from cape.manifest.model import Variant
from cape.names import System
from cape.sources.protocol import Requirement


@dataclass(frozen=True, slots=True)
class Usual:
    """One variant: the machines it is for, its source, and what that calls the package."""

    when: str
    source: str
    package: str
    index: str | None = None
    extras: str | None = None
    systems: tuple[System, ...] = ()


_TORCH = (
    # PyTorch's installation page: the default index has Linux wheels for CUDA and macOS wheels with Metal;
    # wheels for ROCm and for processors alone are on indices of its own.
    Usual("cuda>=12", "pypi", "torch", systems=(System.X86_64_LINUX,)),
    Usual("rocm>=6", "pypi", "torch", index="pytorch-rocm", systems=(System.X86_64_LINUX,)),
    Usual("metal", "pypi", "torch"),
    Usual("cpu", "pypi", "torch", index="pytorch-cpu"),
    # Debian's own build, which uses no GPU.
    Usual("cpu", "debian", "python3-torch"),
)

USUAL: dict[str, tuple[Usual, ...]] = {
    "torch": _TORCH,
    # JAX's installation page: `jax[cuda13]` and `jax[cuda12]` bring plug-ins, `jax` runs on processors.
    "jax": (
        Usual("cuda>=13", "pypi", "jax", extras="cuda13"),
        Usual("cuda>=12", "pypi", "jax", extras="cuda12"),
        Usual("cpu", "pypi", "jax"),
    ),
    # ONNX Runtime's installation page: the GPU build is a package of its own, for CUDA 12 and x86-64 alone.
    "onnxruntime": (
        Usual("cuda>=12", "pypi", "onnxruntime-gpu", systems=(System.X86_64_LINUX,)),
        Usual("cpu", "pypi", "onnxruntime"),
    ),
    # xllamacpp's README: the default index has wheels for processors and Metal, its own ones the others.
    "xllamacpp": (
        Usual("cuda>=12", "pypi", "xllamacpp", index="xllamacpp-cuda"),
        Usual("rocm>=6", "pypi", "xllamacpp", index="xllamacpp-rocm"),
        Usual("cpu", "pypi", "xllamacpp"),
    ),
    # llama-cpp-python's README: wheels by accelerator are on indices of its own.
    "llama-cpp-python": (
        Usual("cuda>=12", "pypi", "llama-cpp-python", index="llama-cpp-cuda"),
        Usual("metal", "pypi", "llama-cpp-python", index="llama-cpp-metal"),
        Usual("cpu", "pypi", "llama-cpp-python"),
    ),
}
"""By the name that the Python index has."""


def usual_variants(requirement: Requirement) -> list[Variant]:
    """The variants of a Python package that cape knows; empty for others, and where an index is named."""
    rows = USUAL.get(requirement.package.lower().replace("_", "-"), ())
    if requirement.source != "pypi" or requirement.options.keys() & {"index", "url", "git", "path"}:
        return []
    return [
        Variant(when=row.when, requirement=_as(row, requirement))
        for row in rows
        if not (row.systems and requirement.systems) or set(row.systems) & set(requirement.systems)
    ]


def _as(row: Usual, requirement: Requirement) -> Requirement:
    options = dict(requirement.options)
    if row.source != requirement.source:
        options = {}
    if row.index:
        options["index"] = row.index
    if row.extras:
        extras = {*options.get("extras", "").split(","), row.extras} - {""}
        options["extras"] = ",".join(sorted(extras))
    return replace(
        requirement,
        source=row.source,
        package=row.package,
        constraint=requirement.constraint if row.source == requirement.source else "*",
        options=MappingProxyType(options),
        systems=_both(row.systems, requirement.systems),
    )


def _both(one: tuple[System, ...], other: tuple[System, ...]) -> tuple[System, ...]:
    """The systems of both; empty means all."""
    return tuple(sorted(set(one) & set(other))) if one and other else one or other
