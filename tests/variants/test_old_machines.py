"""Machines that are too old for what a lock has: said before anything is brought, with what would fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cape.accelerators import Accelerator, decide
from cape.lock import Lock
from cape.lock.variants import Choice, LockedVariants, label_for
from cape.names import Digest, System
from cape.operations.variants import DriverTooOld, GpuTooOld, NoVariant, cuda_of, fitting
from cape.sources.protocol import Artifact, LockedPackage, Requirement
from tests.accelerators.test_machines import Case, card, driver, machine, nodes

SYSTEM = System.X86_64_LINUX


def row(name: str, version: str, source: str = "pypi", needs: tuple[str, ...] = ()) -> LockedPackage:
    artifact = Artifact(digest=Digest.of(name.encode()), size_bytes=1, registry=source, location=f"{name}/x")
    return LockedPackage(
        source=source,
        name=name,
        version=version,
        systems=(SYSTEM,),
        artifact=artifact,
        dependencies=needs,
    )


def one(*packages: LockedPackage) -> Lock:
    first = packages[0]
    asked = Requirement(source=first.source, name="torch", package=first.name)
    return Lock(requirements=(asked,), systems=(SYSTEM,), packages=packages, roots={"torch": (first.name,)})


CUDA_13 = one(row("torch", "2.14.0", needs=("nvidia-cuda-runtime",)), row("nvidia-cuda-runtime", "13.0.48"))
CUDA_12 = one(row("torch", "2.9.0+cu126"))
PLAIN = one(row("python3-torch", "2.6.0-7", "debian"))


def lock(**combinations: tuple[str, Lock]) -> Lock:
    """A lock of `torch` by condition; keys are `KEY=(when, lock)`."""
    choices = tuple(
        Choice(key=key, when=when, source=found.requirements[0].source, package="torch")
        for key, (when, found) in combinations.items()
    )
    return Lock(
        systems=(SYSTEM,),
        variants=(LockedVariants(name="torch", choices=choices),),
        combinations={f"torch:{key}": found for key, (_, found) in combinations.items()},
    )


def nvidia(cuda: str, capability: str) -> Accelerator:
    return Accelerator(
        kind="cuda",
        version=cuda,
        driver="550.54",
        capability=capability,
        devices=("Tesla P40",),
        reason="a test",
    )


CPU = Accelerator(kind="cpu", reason="a test")
ALL = lock(new=("cuda>=13", CUDA_13), old=("cuda>=12", CUDA_12), plain=("cpu", PLAIN))


def test_machine_takes_what_its_driver_has() -> None:
    assert fitting(ALL, accelerator=nvidia("13.0", "8.0")).packages == CUDA_13.packages
    assert fitting(ALL, accelerator=nvidia("12.4", "8.0")).packages == CUDA_12.packages
    assert fitting(ALL, accelerator=nvidia("11.8", "8.0")).packages == PLAIN.packages


def test_driver_that_is_older_than_the_wheel_needs_is_told_with_what_fits() -> None:
    careless = lock(new=("cuda", CUDA_13), plain=("cpu", PLAIN))
    with pytest.raises(DriverTooOld) as caught:
        fitting(careless, accelerator=nvidia("12.4", "8.0"))
    assert "`torch` needs CUDA 13.0 (`nvidia-cuda-runtime` 13.0.48)" in caught.value.fact
    assert "the driver 550.54 has CUDA 12.4" in caught.value.fact
    assert "a driver from 580 on" in str(caught.value.hint)
    assert "`CAPE_GPU=cpu` fits: it takes debian:torch" in str(caught.value.hint)


def test_driver_that_is_too_old_is_told_what_is_left_out_without_a_gpu() -> None:
    alone = replace(
        lock(only=("cuda", CUDA_13)),
        variants=(
            LockedVariants(
                name="torch",
                choices=(Choice(key="only", when="cuda", source="pypi", package="torch"),),
                optional=True,
            ),
        ),
    )
    nothing = Lock(systems=(SYSTEM,))
    alone = replace(
        alone, combinations={**alone.combinations, label_for(alone.variants, CPU, SYSTEM): nothing}
    )
    with pytest.raises(DriverTooOld) as caught:
        fitting(alone, accelerator=nvidia("12.4", "8.0"))
    assert str(caught.value.hint).endswith("`CAPE_GPU=cpu` fits: it leaves out `torch`")


def test_gpu_that_is_too_old_is_told_with_what_fits() -> None:
    """NVIDIA's release notes: CUDA 13 begins with compute capability 7.5, CUDA 12 with 5.0."""
    with pytest.raises(GpuTooOld) as caught:
        fitting(ALL, accelerator=nvidia("13.0", "6.1"))
    assert "wants compute capability 7.5, and Tesla P40 has 6.1" in caught.value.fact
    assert "`CAPE_GPU=cuda12` fits" in str(caught.value.hint)


def test_gpu_that_is_too_old_for_every_variant_is_told() -> None:
    with pytest.raises(GpuTooOld) as caught:
        fitting(lock(new=("cuda>=13", CUDA_13), old=("cuda>=12", CUDA_12)), accelerator=nvidia("12.4", "3.5"))
    assert "wants compute capability 5.0" in caught.value.fact
    assert "fits: it takes" not in str(caught.value.hint)


def test_no_variant_lists_every_condition() -> None:
    wanting = lock(new=("capability>=9.0", CUDA_13), amd=("rocm", CUDA_12))
    with pytest.raises(NoVariant) as caught:
        fitting(wanting, accelerator=nvidia("13.0", "8.0"))
    assert "`capability>=9.0`: the GPU's compute capability is 8.0" in str(caught.value.hint)
    assert "`rocm`: the machine has `cuda`, not `rocm`" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "version", "cuda"),
    [
        ("nvidia-cuda-runtime-cu12", "12.8.90", "12.8"),
        ("nvidia-cuda-runtime", "13.0.48", "13.0"),
        ("torch", "2.9.0+cu126", "12.6"),
        ("jax-cuda12-plugin", "0.8.0", "12"),
        ("cupy-cuda12x", "13.6.0", "12"),
        ("nvidia-nccl-cu12", "2.27.5", "12"),
        ("torch", "2.9.0+cpu", None),
        ("six", "1.17.0", None),
    ],
)
def test_cuda_of_a_wheel_is_read_from_its_name_and_version(name: str, version: str, cuda: str | None) -> None:
    assert cuda_of(row(name, version)) == cuda


def test_driver_that_was_asked_for_is_told_as_one() -> None:
    careless = lock(new=("cuda", CUDA_13), plain=("cpu", PLAIN))
    with pytest.raises(DriverTooOld, match=r"needs CUDA 13.0 .*, and `cuda12` was asked for"):
        fitting(careless, gpu="cuda12", system=SYSTEM)


# -- machines laid out as files -------------------------------------------------------------------------


def laid_out(root: Path, version: str, device: str, name: str) -> Accelerator:
    """What is decided on a machine with that driver and that card."""
    lay = driver(version) | card(device, name, kind="0x030200") | nodes("nvidia0")
    return decide(machine(root, Case(name, lay, "cuda", name)), library=True)


ONLY_13 = lock(new=("cuda", CUDA_13))


def test_machine_whose_driver_is_older_than_the_wheel_needs(tmp_path: Path) -> None:
    found = laid_out(tmp_path, "550.54.14", "0x20b2", "NVIDIA A100-SXM4-80GB")
    with pytest.raises(DriverTooOld) as caught:
        fitting(ONLY_13, accelerator=found)
    assert "needs CUDA 13.0" in caught.value.fact
    assert "the driver 550.54.14 has CUDA 12.4" in caught.value.fact
    assert caught.value.hint == "a driver from 580 on has it"
    assert fitting(ALL, accelerator=found).packages == CUDA_12.packages


def test_machine_whose_gpu_is_too_old_for_every_variant(tmp_path: Path) -> None:
    """The newest driver for Volta has CUDA 13, whose libraries no longer run on it."""
    found = laid_out(tmp_path, "580.65.06", "0x1db6", "Tesla V100-PCIE-32GB")
    with pytest.raises(GpuTooOld) as caught:
        fitting(ONLY_13, accelerator=found)
    assert "wants compute capability 7.5, and Tesla V100-PCIE-32GB has 7.0" in caught.value.fact
    assert caught.value.hint == "allow versions that are built for an older CUDA"
    with pytest.raises(GpuTooOld, match=r"wants compute capability 7\.5") as also:
        fitting(ALL, accelerator=found)
    assert "`CAPE_GPU=cuda12` fits: it takes pypi:torch" in str(also.value.hint)


def test_machine_whose_driver_is_older_than_every_variant(tmp_path: Path) -> None:
    found = laid_out(tmp_path, "390.157", "0x0fc6", "GeForce GTX 650")
    with pytest.raises(NoVariant) as caught:
        fitting(lock(new=("cuda>=13", CUDA_13), old=("cuda>=12", CUDA_12)), accelerator=found)
    assert "which has cuda 9.1" in caught.value.fact
    assert "`cuda>=13`: " in str(caught.value.hint)
    assert "`cuda>=12`: " in str(caught.value.hint)
    assert fitting(ALL, accelerator=found).packages == PLAIN.packages
