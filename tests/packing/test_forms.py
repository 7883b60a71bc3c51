"""One environment, packed and imaged: equal to the byte from every store, and whole when it is unpacked."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cape.environment.activation import Activation, Reference, Set
from cape.environment.realisation import RealisedEnvironment
from cape.names import Digest, System
from cape.packing.activation import render_activation
from cape.packing.carried import Carried, Content, Entry
from cape.packing.errors import CannotWritePack
from cape.packing.file import Packed, write_pack
from cape.packing.image import Image, ImageSettings, write_image
from cape.store import Store
from tests.environment.builders import make, package, plan

X86 = System.X86_64_LINUX
STUB = Path(__file__).parents[2] / f"src/cape/packing/lib/{X86}/cape-enter"
pytestmark = pytest.mark.skipif(not STUB.exists(), reason="no extractor was built")

Contents = Mapping[str, str]

FILES = {
    "root/usr/bin/tool*": "#!/@cape-env@/root/usr/bin/sh\necho tool\n",
    "root/usr/share/tool/where": "the tool is at /@cape-env@/root/usr/share/tool\n",
    "root/usr/share/tool/twice": "the same in two packages\n",
    "root/usr/bin/link": "-> tool",
}
OTHERS = {"lib/python3.13/site-packages/p/__init__.py": "X = 1\n", "bin/p*": "#!/@cape-env@/bin/python3\n"}


def environment(store: Store, *contents: tuple[str, Contents]) -> RealisedEnvironment:
    """An environment of packages of these sources and files."""
    packages = [
        package(store, f"p{number}", files, source=source) for number, (source, files) in enumerate(contents)
    ]
    return make(store, plan(*packages, roots=tuple(one.name for one in packages)))


def activation(made: RealisedEnvironment, *operations: Set) -> Activation:
    return Activation(name="it", project=Path("/project"), environment=made.path, operations=operations)


def packed(store: Store, made: RealisedEnvironment, target: Path) -> Packed:
    told = render_activation(activation(made), system=str(X86))
    return write_pack(Carried(made.path, store), target, title="it", system=X86, activation=told)


def imaged(store: Store, made: RealisedEnvironment, target: Path, system: System = X86) -> Image:
    told = ImageSettings(name="it", system=system, activation=b"n\0it\0", labels={"a": "b"})
    return write_image(Carried(made.path, store), made.path, store, target, told)


def digests(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


NAMES = st.text("abcdefgh", min_size=1, max_size=5)
TEXTS = st.lists(
    st.sampled_from(["plain ", "/@cape-env@/root/usr/x\n", "", "\u00e9\n", "/@cape-env@", "#!/bin/sh\n"]),
    max_size=4,
).map("".join)


@given(
    files=st.dictionaries(NAMES, TEXTS, min_size=1, max_size=5),
    others=st.dictionaries(NAMES, TEXTS, max_size=3),
    room=st.integers(1, 90),
)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_packs_and_images_do_not_know_their_store(files: Contents, others: Contents, room: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        found = []
        for name in ("s", "t" * room):
            store = Store(Path(place, name, "store"))
            made = environment(
                store,
                ("debian", {f"root/usr/share/{path}": text for path, text in files.items()}),
                ("pypi", {f"lib/python3.13/site-packages/{path}*": text for path, text in others.items()}),
            )
            packed(store, made, Path(place, f"{name}.pack"))
            imaged(store, made, Path(place, f"{name}.oci"))
            found.append((Path(place, f"{name}.pack").read_bytes(), digests(Path(place, f"{name}.oci"))))
        assert found[0] == found[1]
        extracted(Path(place, "s.pack"), Path(place, "out"))
        for path, text in files.items():
            wanted = text.replace("/@cape-env@", f"{place}/out/env")
            assert Path(place, "out/env/root/usr/share", path).read_text() == wanted


def extracted(pack: Path, into: Path) -> None:
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(into.parent)}
    done = subprocess.run(
        [pack, "--cape-extract", into], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def made(tmp_path: Path) -> tuple[Store, RealisedEnvironment]:
    store = Store(tmp_path / "store")
    return store, environment(store, ("debian", FILES), ("pypi", OTHERS))


def layers(image: Image) -> dict[str, dict[str, tuple[tarfile.TarInfo, bytes]]]:
    """What the layers hold, by their sources; their digests are checked."""
    found = {}
    for layer in image.layers:
        data = (image.path / "blobs/sha256" / layer.digest.hex).read_bytes()
        plain = gzip.decompress(data)
        assert (Digest.of(data), Digest.of(plain)) == (layer.digest, layer.unpacked)
        with tarfile.open(fileobj=io.BytesIO(plain)) as opened:
            found[layer.source] = {
                one.name: (one, (stream.read() if (stream := opened.extractfile(one)) else b""))
                for one in opened
                if not one.issym()
            }
    return found


def test_each_source_has_a_layer_with_fixed_times_and_owners(
    made: tuple[Store, RealisedEnvironment], tmp_path: Path
) -> None:
    image = imaged(*made, tmp_path / "image")
    found = layers(image)
    assert list(found) == ["debian", "pypi", "generated"]
    assert "cape/env/root/usr/bin/tool" in found["debian"]
    assert "cape/env/bin/p" in found["pypi"]
    members = [member for one in found.values() for member, _ in one.values()]
    assert {(one.mtime, one.uid, one.gid, one.uname) for one in members} == {(315532800, 0, 0, "")}
    assert all(one.mode & 0o022 == 0 for one in members if one.isfile()), "nobody may write"
    _, where = found["debian"]["cape/env/root/usr/share/tool/where"]
    assert where == b"the tool is at /cape/env/root/usr/share/tool\n"


def test_another_package_changes_the_layer_of_its_source_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    before = imaged(store, environment(store, ("debian", FILES), ("pypi", OTHERS)), tmp_path / "one")
    more = {**OTHERS, "lib/python3.13/site-packages/q.py": "Y = 2\n"}
    after = imaged(store, environment(store, ("debian", FILES), ("pypi", more)), tmp_path / "two")
    changed = {
        one.source
        for one, other in zip(before.layers, after.layers, strict=True)
        if one.digest != other.digest
    }
    assert changed == {"pypi", "generated"}
    assert before.layers[0].size_bytes > 0


class Failing(Carried):
    """An environment on a disk that breaks at one file."""

    def content(self, entry: Entry) -> Content:
        if entry.path.endswith("/where"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().content(entry)


def test_a_pack_is_there_whole_or_not_at_all(made: tuple[Store, RealisedEnvironment], tmp_path: Path) -> None:
    target = tmp_path / "it.pack"
    target.write_text("what was there")
    store, environment_ = made
    failing = Failing(environment_.path, store)
    with pytest.raises(CannotWritePack, match="Input/output error"):
        write_pack(failing, target, title="it", system=X86, activation=b"n\0it\0")
    assert target.read_text() == "what was there"
    assert sorted(os.listdir(tmp_path)) == ["it.pack", "store"], "nothing is left beside it"


def test_an_image_of_another_architecture_says_so(
    made: tuple[Store, RealisedEnvironment], tmp_path: Path
) -> None:
    arm = System.AARCH64_LINUX
    if not (STUB.parents[1] / str(arm) / "cape-enter").exists():
        pytest.skip("no extractor was built for the other architecture")
    image = imaged(*made, tmp_path / "image", arm)
    index = json.loads((image.path / "index.json").read_bytes())
    assert index["manifests"][0]["platform"] == {"architecture": "arm64", "os": "linux"}
    _, enter = layers(image)["generated"]["cape/enter"]
    assert enter[18:20] == b"\xb7\x00", "ELF's number of AArch64"


def test_a_directory_that_is_no_image_is_not_replaced(
    made: tuple[Store, RealisedEnvironment], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    with pytest.raises(CannotWritePack, match="no image layout"):
        imaged(*made, tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == ["letter"]


def test_a_variable_yields_where_the_process_has_it_unless_it_refers_to_itself(
    made: tuple[Store, RealisedEnvironment], tmp_path: Path
) -> None:
    store, environment_ = made
    told = render_activation(
        activation(
            environment_,
            Set(name="MODE", value=("default",), origin="vars"),
            Set(name="LIST", value=("own:", Reference("LIST")), origin="vars"),
            Set(name="FIXED", value=("fixed",), origin="cape"),
        ),
        system=str(X86),
        command=("/usr/bin/env",),
        yielding={"MODE", "LIST"},
    )
    target = tmp_path / "it"
    write_pack(
        Carried(environment_.path, store), target, title="it", system=X86, activation=told, shell=False
    )

    def inside(**more: str) -> dict[str, str]:
        variables = {"HOME": str(tmp_path), "PATH": "/usr/bin", **more}
        said = subprocess.run([target], env=variables, capture_output=True, text=True, check=True).stdout
        return dict(re.findall(r"^(MODE|LIST|FIXED)=(.*)$", said, re.MULTILINE))

    assert inside() == {"MODE": "default", "LIST": "own:", "FIXED": "fixed"}
    assert inside(MODE="given", LIST="more", FIXED="x") == {
        "MODE": "given",
        "LIST": "own:more",
        "FIXED": "fixed",
    }
