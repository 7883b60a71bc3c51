"""The decision on machines that are laid out as kernels and drivers publish them, one of each kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cape.accelerators import Accelerator, Machine, decide, find_accelerator
from cape.accelerators.decision import BadAccelerator
from cape.names import System

Lay = dict[str, str]

X86_V3 = "flags\t\t: fpu cx16 popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma movbe"
X86_V4 = f"{X86_V3} avx512f avx512bw avx512cd avx512dq avx512vl avx512_vnni amx_tile"
ARM = "Features\t: fp asimd sve sve2 i8mm bf16"


def driver(version: str) -> Lay:
    """The kernel's module, as `/proc` and `/sys` tell of it."""
    told = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Thu Feb 22 01:44:30 UTC 2024"
    return {"proc/driver/nvidia/version": told, "sys/module/nvidia/version": version}


def open_driver(version: str) -> Lay:
    """The open kernel modules say it in other words."""
    told = f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build"
    return {"proc/driver/nvidia/version": told}


def card(device: str, name: str = "", *, bus: str = "0000:01:00.0", kind: str = "0x030000") -> Lay:
    """A card on the bus, and its name where the driver tells it."""
    place = f"sys/bus/pci/devices/{bus}"
    lay = {f"{place}/class": kind, f"{place}/vendor": "0x10de", f"{place}/device": device}
    if name:
        lay[f"proc/driver/nvidia/gpus/{bus}/information"] = f"Model: \t\t {name}\nIRQ:   \t\t 150\n"
    return lay


def nodes(*names: str) -> Lay:
    return {f"dev/{name}": "" for name in names}


def amd(target: str, *, node: bool = True) -> Lay:
    place = "sys/class/kfd/kfd/topology/nodes"
    lay = {
        f"{place}/0/properties": "cpu_cores_count 16\nsimd_count 0\ngfx_target_version 0",
        f"{place}/1/properties": f"cpu_cores_count 0\nsimd_count 304\ngfx_target_version {target}",
    }
    return lay | ({"dev/kfd": ""} if node else {})


@dataclass(frozen=True)
class Case:
    """A machine, whether `libcuda.so.1` is on it, and what is right."""

    name: str
    lay: Lay
    kind: str
    says: str
    library: bool = True
    version: str | None = None
    capability: str | None = None
    targets: tuple[str, ...] = ()
    system: System = System.X86_64_LINUX
    more: Callable[[Accelerator], bool] = field(default=lambda found: True)


A100 = card("0x20b2", "NVIDIA A100-SXM4-80GB", kind="0x030200")
CASES = (
    Case("a server without a GPU", {}, "cpu", "no GPU", library=False),
    Case(
        "A100",
        driver("550.54.14") | A100 | nodes("nvidia0", "nvidiactl", "nvidia-uvm"),
        "cuda",
        "A100",
        version="12.4",
        capability="8.0",
    ),
    Case(
        "H100, newest driver",
        driver("580.65.06") | card("0x2330", "NVIDIA H100 80GB HBM3") | nodes("nvidia0"),
        "cuda",
        "H100",
        version="13.0",
        capability="9.0",
    ),
    Case(
        "open kernel modules",
        open_driver("570.86.15") | card("0x2684", "NVIDIA GeForce RTX 4090") | nodes("nvidia0"),
        "cuda",
        "RTX 4090",
        version="12.8",
        capability="8.9",
    ),
    Case(
        "a card whose name nobody tells",
        driver("535.104.05") | card("0x2204") | nodes("nvidia0"),
        "cuda",
        "NVIDIA 0x2204",
        version="12.2",
        capability="8.6",
    ),
    Case(
        "a chip that is newer than this table",
        driver("590.10") | card("0x3fff", "NVIDIA Next") | nodes("nvidia0"),
        "cuda",
        "NVIDIA Next",
        version="13.1",
        capability=None,
    ),
    Case(
        "two cards, the weaker one counts",
        driver("550.54.14")
        | A100
        | card("0x1eb8", "Tesla T4", bus="0000:41:00.0", kind="0x030200")
        | nodes("nvidia0", "nvidia1"),
        "cuda",
        "A100",
        version="12.4",
        capability="7.5",
        more=lambda found: len(found.devices) == 2,
    ),
    Case(
        "an old card with its last driver",
        driver("390.157") | card("0x0fc6", "GeForce GTX 650") | nodes("nvidia0"),
        "cuda",
        "GTX 650",
        version="9.1",
        capability="3.0",
    ),
    Case(
        "a driver that is older than any CUDA",
        driver("340.108") | card("0x0a65", "GeForce 210") | nodes("nvidia0"),
        "cpu",
        "older than any CUDA",
    ),
    Case(
        "Pascal",
        driver("470.239.06") | card("0x1b06", "GeForce GTX 1080 Ti") | nodes("nvidia0"),
        "cuda",
        "1080 Ti",
        version="11.4",
        capability="6.1",
    ),
    Case(
        "Volta",
        driver("525.147.05") | card("0x1db6", "Tesla V100-PCIE-32GB", kind="0x030200") | nodes("nvidia0"),
        "cuda",
        "V100",
        version="12.0",
        capability="7.0",
    ),
    Case(
        "Blackwell, desktop",
        driver("575.51.02") | card("0x2b85", "NVIDIA GeForce RTX 5090") | nodes("nvidia0"),
        "cuda",
        "RTX 5090",
        version="12.9",
        capability="12.0",
    ),
    Case(
        "Blackwell, server",
        driver("570.124.06") | card("0x2901", "NVIDIA B200", kind="0x030200") | nodes("nvidia0"),
        "cuda",
        "B200",
        version="12.8",
        capability="10.0",
    ),
    Case(
        "MIG: a GPU in slices",
        driver("550.54.14")
        | A100
        | nodes("nvidia0")
        | {f"proc/driver/nvidia/capabilities/gpu0/mig/gi{n}/access": "" for n in (1, 2, 5)},
        "cuda",
        "A100",
        version="12.4",
        capability="8.0",
        more=lambda found: any("3 MIG" in fact.what for fact in found.facts),
    ),
    Case("a card without any driver", card("0x2204"), "cpu", "no driver for it is loaded", library=False),
    Case(
        "the free driver instead of NVIDIA's",
        card("0x2204") | {"sys/module/nouveau/version": ""},
        "cpu",
        "no driver for it is loaded",
        library=False,
    ),
    Case(
        "a driver without its libraries",
        driver("550.54.14") | A100 | nodes("nvidia0"),
        "cpu",
        "libcuda.so.1 is not on this machine",
        library=False,
    ),
    Case("a container that was given no device", driver("550.54.14") | A100, "cpu", "it was not passed on"),
    Case(
        "a container that was given one device of two",
        driver("550.54.14")
        | A100
        | card("0x20b2", "NVIDIA A100-SXM4-80GB", bus="0000:41:00.0", kind="0x030200")
        | nodes("nvidia1"),
        "cuda",
        "A100",
        version="12.4",
        capability="8.0",
    ),
    Case(
        "a container whose /sys is hidden",
        driver("550.54.14")
        | nodes("nvidia0")
        | {"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: NVIDIA L4\n"},
        "cuda",
        "NVIDIA L4",
        version="12.4",
        capability=None,
    ),
    Case("a library of a driver, and no GPU", {}, "cpu", "no GPU", library=True),
    Case("Windows' Linux subsystem", nodes("dxg"), "cuda", "through Windows' driver", version=None),
    Case("Windows' Linux subsystem without libraries", nodes("dxg"), "cpu", "no GPU", library=False),
    Case(
        "an NVIDIA sound function is no GPU", card("0x10fa", kind="0x040300"), "cpu", "no GPU", library=False
    ),
    Case(
        "another vendor's screen",
        {
            "sys/bus/pci/devices/0000:00:02.0/class": "0x030000",
            "sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086",
            "sys/bus/pci/devices/0000:00:02.0/device": "0x9bc8",
        },
        "cpu",
        "no GPU",
        library=False,
    ),
    Case(
        "MI300X",
        amd("90402") | {"opt/rocm/.info/version": "6.3.1-48"},
        "rocm",
        "gfx942",
        version="6.3.1",
        targets=("gfx942",),
        library=False,
    ),
    Case(
        "MI210 without ROCm on the machine",
        amd("90010"),
        "rocm",
        "gfx90a",
        targets=("gfx90a",),
        library=False,
    ),
    Case("RX 7900 XTX", amd("110000"), "rocm", "gfx1100", targets=("gfx1100",), library=False),
    Case(
        "AMD in a container without its device",
        amd("90402", node=False),
        "cpu",
        "/dev/kfd is not here",
        library=False,
    ),
    Case(
        "an AMD processor without a GPU",
        {"sys/class/kfd/kfd/topology/nodes/0/properties": "simd_count 0\ngfx_target_version 0"},
        "cpu",
        "no GPU",
        library=False,
    ),
    Case("Apple", {}, "metal", "Apple", library=False, system=System.AARCH64_DARWIN),
    Case("an Intel Mac", {}, "cpu", "no GPU", library=False, system=System.X86_64_DARWIN),
    Case(
        "arm64 with features",
        {"proc/cpuinfo": ARM},
        "cpu",
        "no GPU",
        library=False,
        system=System.AARCH64_LINUX,
        more=lambda found: found.features == ("sve2", "sve", "i8mm", "bf16", "asimd"),
    ),
    Case(
        "x86-64-v4",
        {"proc/cpuinfo": X86_V4},
        "cpu",
        "no GPU",
        library=False,
        more=lambda found: found.features[:2] == ("x86-64-v4", "amx_tile"),
    ),
    Case(
        "x86-64-v3",
        {"proc/cpuinfo": X86_V3},
        "cpu",
        "no GPU",
        library=False,
        more=lambda found: found.features == ("x86-64-v3", "avx2"),
    ),
    Case(
        "files with garbage",
        {"proc/driver/nvidia/version": "\0\0", "proc/cpuinfo": "\xff"} | card("zz"),
        "cpu",
        "no driver",
        library=False,
    ),
)


def machine(root: Path, case: Case) -> Machine:
    for path, text in case.lay.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Machine(root=root, system=case.system)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_decision_and_its_reason(tmp_path: Path, case: Case) -> None:
    found = decide(machine(tmp_path, case), library=case.library)
    assert (found.kind, found.version, found.capability) == (case.kind, case.version, case.capability)
    assert case.says in found.reason, found.reason
    assert found.targets == case.targets
    assert case.more(found), found


def test_there_are_thirty_machines() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


def test_a_device_that_this_user_may_not_open_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, says in (("A100", "may not open /dev/nvidia0"), ("MI300X", "join the group `render`")):
        case = next(one for one in CASES if one.name == name)
        laid = machine(tmp_path / name, case)
        monkeypatch.setattr(Machine, "can_open", lambda self, path: False)
        found = decide(laid, library=True)
        assert found.kind == "cpu" and says in found.reason


@pytest.mark.parametrize(
    ("word", "kind", "version"),
    [("cpu", "cpu", None), ("cuda", "cuda", None), ("cuda12.4", "cuda", "12.4"), ("rocm6", "rocm", "6")],
)
def test_a_users_word_counts_more_than_the_machine(
    tmp_path: Path, word: str, kind: str, version: str | None
) -> None:
    case = next(one for one in CASES if one.name == "A100")
    found = find_accelerator(machine(tmp_path, case), lambda: True, environment={"CAPE_GPU": word})
    assert (found.kind, found.version) == (kind, version)
    with pytest.raises(BadAccelerator, match="`tpu` is no accelerator"):
        find_accelerator(machine(tmp_path, case), lambda: True, environment={"CAPE_GPU": "tpu"})


def test_the_cache_answers_until_boot_driver_or_devices_change(tmp_path: Path) -> None:
    case = next(one for one in CASES if one.name == "A100")
    laid = machine(tmp_path / "root", case)
    boot = tmp_path / "root/proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("one\n")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    asked: list[int] = []

    def library() -> bool:
        asked.append(1)
        return True

    def find() -> Accelerator:
        return find_accelerator(laid, library, environment=environment)

    first = find()
    assert find() == first and len(asked) == 1
    boot.write_text("two\n")
    find()
    (tmp_path / "root/sys/module/nvidia/version").write_text("580.1")
    (tmp_path / "root/proc/driver/nvidia/version").write_text(driver("580.1")["proc/driver/nvidia/version"])
    assert find().version == "13.0"
    (tmp_path / "root/dev/nvidia1").write_text("")
    find()
    assert len(asked) == 4
    (tmp_path / "cache/cape/accelerator.json").write_text("garbage")
    assert find().kind == "cuda", "a damaged cache is made anew"


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    case = next(one for one in CASES if one.name == "A100")
    (tmp_path / "cache").write_text("a file where a directory should be")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert (
        find_accelerator(machine(tmp_path / "root", case), lambda: True, environment=environment).kind
        == "cuda"
    )


def test_the_answer_is_quick(tmp_path: Path) -> None:
    """The budget is 1 ms from the cache and 30 ms without; ten times that is a fault on any machine."""
    case = next(one for one in CASES if one.name == "A100")
    laid = machine(tmp_path / "root", case)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    times = []
    for fresh in (True, *[False] * 20):
        started = time.perf_counter()
        find_accelerator(laid, lambda: True, environment=environment, fresh=fresh)
        times.append(time.perf_counter() - started)
    assert times[0] < 0.3
    assert sorted(times[1:])[10] < 0.01
