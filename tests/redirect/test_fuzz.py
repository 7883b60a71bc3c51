"""Random calls with random paths give in a redirected world what the kernel gives in a merged one.

The seed is fixed; `CAPE_FUZZ_SECONDS` (20 by default, for all tests of this file together) says for how
long, `CAPE_FUZZ_SEED` where to begin. Where the compiler can, library and performer are built with
AddressSanitizer and UndefinedBehaviorSanitizer. `worlds` has the two worlds, `callers` chooses the calls,
`performer.c` makes them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from tests.redirect.callers import Caller, Spelling, normal_form
from tests.redirect.conftest import HERE, snapshot
from tests.redirect.worlds import PROJECT, ROOT, Call, World

SECONDS = float(os.environ.get("CAPE_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("CAPE_FUZZ_SEED", "1"))
SANITIZERS = [
    *("-fsanitize=address,undefined", "-fno-sanitize=nonnull-attribute"),
    *("-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
]
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0:symbolize=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
CALLS = 1500
Furnish = Callable[[str], tuple[World, World]]


@pytest.fixture(scope="module")
def sanitizers(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The flags, or none where the compiler has no such library to link or run."""
    place = tmp_path_factory.mktemp("probe")
    (place / "probe.c").write_text("int main(void) { return 0; }\n")
    words = [*compiler, *SANITIZERS, "-o", str(place / "probe"), str(place / "probe.c")]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        return []
    works = subprocess.run([place / "probe"], capture_output=True, check=False).returncode == 0
    return SANITIZERS if works else []


@pytest.fixture(scope="module")
def performer(compile_c: Callable[..., Path], sanitizers: list[str]) -> Path:
    return compile_c(HERE / "performer.c", "-g", *sanitizers, name="performer")


@pytest.fixture(scope="module")
def plain_performer(compile_c: Callable[..., Path]) -> Path:
    return compile_c(HERE / "performer.c", name="performer")


@pytest.fixture(scope="module")
def checked_library(
    build: ModuleType,
    compiler: list[str],
    sanitizers: list[str],
    library: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The library from the same sources, with the sanitizers' checks."""
    if not sanitizers:
        return library
    target = tmp_path_factory.mktemp("checked") / "libcape-redirect.so"
    flags = [flag for flag in build.COMPILE if flag != "-g0"]
    sources = [str(file) for file in build.source_files() if file.suffix == ".c"]
    words = [*compiler, *flags, "-g", *sanitizers, "-shared", "-o", str(target), *sources, "-ldl"]
    subprocess.run(words, check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def libraries(
    performer: Path, checked_library: Path, jail_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The loader and all that the performer and the library need, in one directory."""
    assert jail_program
    target = tmp_path_factory.mktemp("libraries")
    for file in (performer, checked_library):
        done = subprocess.run(["ldd", file], capture_output=True, text=True, check=False)
        for found in re.findall(r"(/\S+) \(0x", done.stdout):
            shutil.copy2(os.path.realpath(found), target / Path(found).name)
    if not any(target.glob("ld-linux-*")):
        pytest.skip("ldd does not tell the loader")
    return target


@pytest.fixture
def furnished(
    libraries: Path,
    performer: Path,
    plain_performer: Path,
    checked_library: Path,
    jail_program: Path,
    tmp_path: Path,
) -> Iterator[Furnish]:
    """Makes two worlds in a directory of a given name."""

    def furnish(name: str) -> tuple[World, World]:
        redirected = World(tmp_path / name / "redirected", True, jail_program)
        merged = World(tmp_path / name / "merged", False, jail_program)
        redirected.furnish(libraries, performer, checked_library)
        merged.furnish(libraries, plain_performer, None)
        return redirected, merged

    yield furnish
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def worlds(furnished: Furnish) -> tuple[World, World]:
    return furnished("worlds")


def plain(call: Call, answer: str) -> str:
    """An answer without where the environment lies."""
    if call.name not in ("realpath", "getcwd") or not answer.startswith("ok "):
        return answer
    path = bytes.fromhex(answer[3:])
    for prefix in (ROOT, f"{PROJECT}/.cape/state/overlay"):
        path = path.removeprefix(prefix.encode())
    return "ok " + (path or b"/").decode(errors="replace")


REMOVALS = ("unlink", "unlinkat", "remove", "rmdir")
PAIRS = ("rename", "renameat", "link")


def ends_in_slash(call: Call) -> bool:
    return call.path is not None and call.path.rstrip(b".").endswith(b"/")


def agrees(call: Call, found: str, right: str) -> bool:
    """Whether an answer is as good as the kernel's.

    Of several things that are wrong Linux names the one that it meets first. Of a name to remove it says that
    the file system is read-only before it looks for it; `rm -f` and its like are better served by ENOENT. A
    slash after a new name, and which of two names is worse, are told in another order too.
    """
    if found == right:
        return True
    if call.name == "realpath" and len(call.path or b"") >= 4096:
        return True  # libc takes such a path, and the library does not
    if call.name == "nftw" and ends_in_slash(call):
        return True  # libc takes the slash away before it looks
    if os.geteuid() != 0 and ends_in_slash(call) and right == "errno 13":
        return True  # `x/.` asks for the right to search x, which its normal form `x/` does not
    if not (found.startswith("errno") and right.startswith("errno")):
        return False
    if os.geteuid() != 0 and {found, right} == {"errno 13", "errno 30"}:
        return True  # a mode stops it, or the file system
    if (call.name, found, right) == ("truncate", "errno 30", "errno 21"):
        return True
    return (
        ends_in_slash(call) or call.name in PAIRS or (call.name in REMOVALS and "errno 30" in (found, right))
    )


def check(worlds: tuple[World, World], spellings: Sequence[Spelling]) -> None:
    """Perform in both worlds, and explain the first difference."""
    redirected, merged = worlds
    found = redirected.perform([each.redirected for each in spellings], OPTIONS)
    right = merged.perform([each.merged for each in spellings], OPTIONS)
    assert len(right) == len(spellings), right[-1]
    wrong = []
    for each, one, other in zip(spellings, found, right, strict=False):
        one, other = plain(each.redirected, one), plain(each.merged, other)
        if not agrees(each.redirected, one, other):
            wrong.append(f"{each.redirected}\n    {each.merged.path!r}: {one}, should be {other}")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:8])
    assert len(found) == len(spellings), f"after {spellings[len(found) - 2]}\n{found[-1]}"


def seeds(share: float) -> Iterator[Random]:
    """Random numbers, at least once and for a share of the time."""
    end = time.monotonic() + SECONDS * share
    seed = SEED
    while True:
        yield Random(seed)
        seed += 1
        if time.monotonic() > end:
            return


def test_reading_calls_agree(worlds: tuple[World, World]) -> None:
    for random in seeds(0.35):
        check(worlds, [Caller(random).reading() for _ in range(CALLS)])


def test_refused_changes_agree(worlds: tuple[World, World]) -> None:
    for random in seeds(0.25):
        check(worlds, [Caller(random).refused() for _ in range(CALLS)])


def test_changes_of_the_overlay_agree(furnished: Furnish) -> None:
    """Afterwards neither environment nor host has changed."""
    for number, random in enumerate(seeds(0.4)):
        redirected, merged = furnished(f"{number}")
        before = {
            place: snapshot(redirected.top / place) for place in ("w/store", "usr", "etc", "var", "run")
        }
        caller = Caller(random)
        check((redirected, merged), [*caller.prepared(), *(caller.changing() for _ in range(CALLS))])
        for place, files in before.items():
            assert snapshot(redirected.top / place) == files


# ---- the normal form alone, against its oracle ----

ELSEWHERE, OWN, USR, ETC, VAR, RUN = range(6)
EMPTY_IN_THE_TREE = (b"/var", b"/var/lib", b"/var/log", b"/var/cache")


def area_of(normal: bytes) -> int:
    """Which rules hold for a normal form, of the names that the paths here are made of."""
    parts = normal.strip(b"/").split(b"/")
    if parts[:2] == [b"w", b"e"]:
        return OWN
    if parts[:2] == [b"etc", b"passwd"] and len(parts) == 2 and not normal.endswith(b"/"):
        return ELSEWHERE
    if parts[:2] in ([b"var", b"tmp"], [b"run", b"lock"], [b"run", b"user"]):
        return ELSEWHERE
    return {b"usr": USR, b"etc": ETC, b"var": VAR, b"run": RUN}.get(parts[0], ELSEWHERE)


def steps_of(normal: bytes, area: int) -> str:
    """`0` the host, `1` the tree, `2` the overlay, in the order in which they are tried."""
    if area in (USR, ELSEWHERE, OWN):
        return "10" if area == USR else "0"
    empty = area == VAR and normal.rstrip(b"/") in EMPTY_IN_THE_TREE
    return "20" if area == RUN or empty else "210"


PIECES = [
    *(
        b"usr",
        b"bin",
        b"lib",
        b"lib64",
        b"sbin",
        b"etc",
        b"var",
        b"run",
        b"lock",
        b"tmp",
        b"passwd",
        b"w",
        b"e",
    ),
    *(
        b"..",
        b"..",
        b"..",
        b".",
        b"",
        b"",
        b"...",
        b"..x",
        b"x.",
        b"log",
        b"user",
        b"\xff\x01",
        b"n" * 255,
        b"usrx",
    ),
]


def random_path(random: Random) -> bytes:
    count = random.choice([1, 2, 3, 4, 5, 6, 8, 12, 40, 900])
    path = b"/" + b"/".join(random.choice(PIECES) for _ in range(count))
    return path[: random.choice([4090, 4095, 4096, 4097, 6000])] if len(path) > 4000 else path


@pytest.fixture(scope="module")
def router(compile_c: Callable[..., Path], build: ModuleType, sanitizers: list[str]) -> Path:
    sources = [str(build.SOURCES / name) for name in ("route.c", "places.c", "overlay.c")]
    flags = ["-D_GNU_SOURCE", "-std=gnu11", "-g", *sanitizers, *sources, "-ldl"]
    return compile_c(HERE / "router.c", *flags, name="router")


def test_normal_form_is_the_oracles(router: Path) -> None:
    random = Random(SEED)
    paths = [random_path(random) for _ in range(20000)]
    text = b"".join(path.hex().encode() + b"\n" for path in paths)
    done = subprocess.run([router], input=text, env=OPTIONS, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:4000]
    for path, line in zip(paths, done.stdout.decode().splitlines(), strict=True):
        concerns, area, steps, normal = line.split(" ")
        if len(path) >= 4096:
            assert (area, steps, normal) == (str(ELSEWHERE), "0", ""), path
            continue
        right = normal_form(path)
        assert bytes.fromhex(normal) == right, path
        assert int(area) == area_of(right), path
        assert steps == steps_of(right, area_of(right)), path
        assert concerns == "1" or int(area) in (ELSEWHERE, OWN), path
