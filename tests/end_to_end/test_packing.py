"""`cape pack`, `cape image` and `cape k8s`, with a whole environment whose programs have a loader."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from cape.names import System
from tests.end_to_end.harness import INTEGRITY, STATE, Done, Project, World, make_writable
from tests.end_to_end.test_native import native

__all__ = ["native"]  # a fixture

HERE = System.current()
STUB = Path(__file__).parents[2] / f"src/cape/packing/lib/{HERE}/cape-enter"

pytestmark = pytest.mark.skipif(not STUB.exists(), reason="no extractor was built for this machine")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of somebody who has only the pack."""
    directory = tmp_path / "another"
    directory.mkdir()
    return directory


def packed(project: Project, *words: str, output: str = "it.pack") -> Path:
    project.cape("pack", "-o", output, *words).succeeded()
    return project.directory / output


def start(pack: Path, *words: str, home: Path, **variables: str) -> Done:
    """Start a pack with nothing of this process's variables."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), **variables}
    ended = subprocess.run(
        [pack, *words],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return Done(words=words, code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def unpacked(home: Path) -> list[Path]:
    return sorted(path for path in (home / ".cache/cape/packs").glob("[0-9a-f]*"))


@pytest.mark.parametrize("form", [(), ("--static",)], ids=["shell", "static"])
def test_pack_runs_where_the_store_is_gone(native: Project, home: Path, form: tuple[str, ...]) -> None:
    pack = packed(native, *form)
    make_writable(native.store)
    shutil.rmtree(native.store)
    done = start(pack, "reader", home=home).succeeded()
    assert done.stdout.endswith("from the environment\n")
    assert str(home) in done.stdout, "the script lies where the pack unpacked itself"


def test_packs_of_one_lock_are_equal_from_two_stores(native: Project, world: World) -> None:
    first = packed(native)
    other = world.clone(native, store="a/longer/place/store")
    other.cape("sync", "--locked").succeeded()
    second = packed(other)
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


def test_packed_command_gets_arguments_and_its_exit_code_passes(native: Project, home: Path) -> None:
    pack = packed(native, "--", "sh", "-c", 'echo "<$1> <$2>"; exit 7', "sh")
    done = start(pack, "a b", "--list", home=home)
    assert (done.code, done.stdout) == (7, "<a b> <--list>\n")


def test_signal_ends_the_packed_program(native: Project, home: Path) -> None:
    pack = packed(native, "--", "sh", "-c", "kill -TERM $$")
    assert start(pack, home=home).code == -15


def test_variables_and_hook_are_those_of_the_manifest(native: Project, home: Path) -> None:
    text = native.manifest.read_text()
    more = '\n[vars]\nDATA = "${CAPE_STATE}/data of $WHO"\n[hook]\non-activate = "echo made $DATA"\n'
    native.manifest.write_text(text + more)
    pack = packed(native, "--", "sh", "-c", 'echo "$DATA"; test -d "$CAPE_STATE"')
    done = start(pack, home=home, WHO="me").succeeded()
    assert done.stdout == f"{home}/.local/state/cape/packs/test/data of me\n"
    assert "made " in done.stderr


def test_activation_text_enters_a_running_shell(native: Project, home: Path) -> None:
    pack = packed(native)
    text = start(pack, "--cape-activate", home=home).succeeded().stdout
    ended = subprocess.run(
        ["sh", "-c", f"{text}\nreader"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.endswith("from the environment\n")


def test_extract_list_and_verify(native: Project, home: Path) -> None:
    pack = packed(native)
    assert "env/root/usr/bin/reader" in start(pack, "--list", home=home).succeeded().stdout.splitlines()
    assert "whole: " in start(pack, "--verify", home=home).succeeded().stdout
    start(pack, "--extract", "there", home=home).succeeded()
    done = start(home / "there/enter", "reader", home=home).succeeded()
    assert done.stdout.startswith(f"{home}/there/env/")
    start(pack, "--extract", "there", home=home).failed(1, "there already")
    assert not unpacked(home)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.98], ids=["content", "more content", "index"])
def test_altered_pack_is_refused_and_leaves_nothing(native: Project, home: Path, at: float) -> None:
    pack = packed(native)
    data = bytearray(pack.read_bytes())
    stub_ends = 4096 + STUB.stat().st_size
    place = stub_ends + int((len(data) - stub_ends) * at)
    data[place] ^= 0xFF
    pack.write_bytes(data)
    start(pack, "reader", home=home).failed(INTEGRITY, "altered or is incomplete")
    assert not unpacked(home)
    assert not list((home / ".cache/cape/packs").glob(".*.new"))


def test_half_a_pack_is_refused(native: Project, home: Path) -> None:
    pack = packed(native)
    os.truncate(pack, pack.stat().st_size // 2)
    start(pack, "reader", home=home).failed(INTEGRITY, "altered or is incomplete")


def test_pack_for_another_machine_says_so(native: Project, home: Path) -> None:
    tools = home / "tools"
    tools.mkdir()
    (tools / "uname").write_text("#!/bin/sh\necho riscv64\n")
    (tools / "uname").chmod(0o755)
    done = start(packed(native), home=home, PATH=f"{tools}:/usr/bin:/bin")
    done.failed(1, f"this pack is for {HERE}, this machine is riscv64-linux")


def test_full_disk_is_named_and_leaves_nothing(native: Project, home: Path) -> None:
    pack = packed(native, "--static")
    script = (
        'mount -t tmpfs -o size=1m none "$1" && HOME=$1 "$2" reader; code=$?; '
        'ls -A "$1/.cache/cape/packs"; exit $code'
    )
    small = home / "small"
    small.mkdir()
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", small, pack], capture_output=True, text=True, check=False
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("no user namespaces here")
    assert ended.returncode == 1
    assert "there is no room left to unpack" in ended.stderr
    assert ended.stdout.splitlines()[1:] == [], "only the lock file stays"


@pytest.mark.parametrize("form", [(), ("--static",)], ids=["shell", "static"])
def test_places_that_start_no_programs_are_named(native: Project, home: Path, form: tuple[str, ...]) -> None:
    pack = packed(native, *form)
    script = (
        'mount -t tmpfs -o noexec none "$1" && mount -t tmpfs -o noexec none /tmp && '
        'mount -t tmpfs -o noexec none /var/tmp && HOME=$1 "$2" reader'
    )
    place = home / "noexec"
    place.mkdir()
    if not form and (pack.is_relative_to("/tmp") or pack.is_relative_to("/var/tmp")):
        pytest.skip("the pack lies where the test mounts")
    command = 'exec 9<"$2"; ' + script.replace('"$2"', "/proc/self/fd/9")
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command, "sh", place, pack],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 1 or "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("no user namespaces here")
    assert "there is no place to unpack to" in ended.stderr
    assert "noexec" in ended.stderr


def test_two_first_starts_at_once_both_work(native: Project, home: Path) -> None:
    pack = packed(native, "--static")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    both = [
        subprocess.Popen([pack, "reader"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert all(text.endswith("from the environment\n") for text in said)
    assert len(unpacked(home)) == 1


def test_pack_into_a_directory_that_is_not_there_is_refused(native: Project) -> None:
    done = native.cape("pack", "-o", "nowhere/it.pack")
    done.failed(STATE, "the pack cannot be written")


def test_image_is_equal_from_two_stores_and_its_digests_hold(native: Project, world: World) -> None:
    native.cape("image", "-o", "image", "--", "reader").succeeded()
    other = world.clone(native, store="another/store")
    other.cape("sync", "--locked").succeeded()
    other.cape("image", "-o", "image.tar", "--", "reader").succeeded()
    layout = native.directory / "image"
    files = {str(file.relative_to(layout)): file.read_bytes() for file in layout.rglob("*") if file.is_file()}
    with tarfile.open(other.directory / "image.tar") as archive:
        for name, data in files.items():
            found = archive.extractfile(name)
            assert found is not None
            assert found.read() == data
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]


def test_image_starts_its_command_where_nothing_else_is(native: Project, tmp_path: Path) -> None:
    native.cape("image", "-o", "image", "--", "reader").succeeded()
    layout = native.directory / "image"
    root = tmp_path / "root"
    root.mkdir()
    manifest = blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    for layer in manifest["layers"]:
        with tarfile.open(layout / "blobs" / layer["digest"].replace(":", "/")) as archive:
            archive.extractall(root, filter="tar")
    config = blob(layout, manifest["config"]["digest"])["config"]
    script = 'mount -t proc none "$1/proc" && shift && exec "$@"'
    enter = ["/usr/sbin/chroot", str(root), *config["Entrypoint"], *config["Cmd"]]
    ended = subprocess.run(
        ["unshare", "-rmpf", "sh", "-c", script, "sh", str(root), *enter],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip("no user namespaces here")
    assert ended.stdout == "/cape/env/bin/reader from the environment\n", ended.stderr
    assert config["User"] == "1000"


def blob(layout: Path, digest: str) -> dict[str, dict[str, str]] | dict[str, list[dict[str, str]]]:  # type: ignore[misc]
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())  # type: ignore[no-any-return]


def test_kubernetes_manifest_has_services_with_ports_and_probes(native: Project) -> None:
    services = (
        '\n[vars]\nMODE = "production"\nPLACE = "$CAPE_STATE/x"\n'
        '[services.web]\ncommand = "serve --port $PORT"\nports = { http = 8080 }\n'
        'ready = { http = "/health" }\n'
        '[services.work]\ncommand = "work"\nready = { command = "test -e up" }\n'
    )
    native.manifest.write_text(native.manifest.read_text() + services)
    native.cape("lock").succeeded()
    text = native.cape("k8s", "registry.example/app:1").succeeded().stdout
    objects = list(yaml.safe_load_all(text))
    kinds = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert kinds == [
        ("ConfigMap", "test"),
        ("Deployment", "test-web"),
        ("Service", "test-web"),
        ("Deployment", "test-work"),
    ]
    assert objects[0]["data"] == {"MODE": "production"}
    web = objects[1]["spec"]["template"]["spec"]["containers"][0]
    assert web["startupProbe"]["httpGet"] == {"path": "/health", "port": 8080}
    assert web["image"] == "registry.example/app:1"
    check_schema(objects)


def test_kubernetes_manifest_of_a_command_is_a_job(native: Project) -> None:
    text = native.cape("k8s", "registry.example/app:1", "--", "reader", "x").succeeded().stdout
    (job,) = yaml.safe_load_all(text)
    assert job["kind"] == "Job"
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["--cape-run", "reader", "x"]
    check_schema([job])


def check_schema(objects: list[dict[str, object]]) -> None:
    """Against the schemas of a release of Kubernetes, as PyPI's `kubernetes-validate` carries them."""
    validator = pytest.importorskip("kubernetes_validate")
    for one in objects:
        validator.validate(one, "1.30", strict=True)


def test_a_pack_for_another_architecture_is_made_here_and_refuses_to_start(
    synced: Project, home: Path
) -> None:
    other = next(one for one in System if one is not HERE)
    if not (STUB.parents[1] / str(other) / "cape-enter").exists():
        pytest.skip(f"no extractor was built for {other}")
    told = synced.cape("pack", "--system", str(other), "-o", "it", "--json", "--", "hello").succeeded()
    assert json.loads(told.stdout)["system"] == str(other)
    start(synced.directory / "it", home=home).failed(1, f"this pack is for {other}, this machine is")
    synced.cape("pack", "--static", "--system", str(other), "-o", "static", "--", "hello").succeeded()
    with pytest.raises(OSError, match="Exec format error"):
        start(synced.directory / "static", home=home)
    assert not unpacked(home)


def test_a_pack_for_a_system_that_is_not_locked_is_refused(native: Project) -> None:
    other = next(one for one in System if one is not HERE)
    native.cape("pack", "--system", str(other)).failed(STATE, f"`{other}`", f"`{HERE}`")
    native.cape("pack", "--system", "riscv64-linux").failed(1, "riscv64-linux")
