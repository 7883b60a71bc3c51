from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cape.environment.merging import FileConflict
from cape.environment.objects import WorkerDied, make_objects, plan_keys
from cape.environment.realisation import read_environment, realise
from cape.errors import CapeError, DiskFull, StateError
from cape.names import Digest
from cape.sources.protocol import LockedPackage
from cape.store import ArtifactDamaged, Store
from tests.environment.builders import make, package, plan, relocate, unpack


def test_links_and_private_copies(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tool = package(
        store,
        "tool",
        {
            "root/usr/bin/tool*": "#!/bin/sh\n",
            "root/usr/bin/perly*": "#!/@cape-env@/root/usr/bin/perl\n",
            "root/usr/share/tool/data": "data",
            "root/usr/bin/alias": "-> tool",
        },
    )
    made = plan(tool, roots=("tool",))
    (sealed,) = make_objects(made, unpack=unpack, relocate=relocate, store=store)
    environment = realise(made, [sealed], store)
    root = environment.root
    assert os.path.samefile(root / "usr/bin/tool", sealed.tree / "root/usr/bin/tool")
    assert os.readlink(root / "usr/bin/alias") == "tool"
    assert (root / "usr/bin/perly").read_text() == f"#!{environment.path}/root/usr/bin/perl\n"
    assert (root / "bin/tool").exists(), "merged links are made"
    assert environment.programs == ("alias", "perly", "tool")
    assert os.readlink(environment.path / "bin/tool") == "../root/usr/bin/tool"
    sealed.verify()


def test_an_environment_is_made_once_and_remade_when_broken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(package(store, "tool", {"root/usr/bin/tool*": "x"}), roots=("tool",))
    first = make(store, made)
    again = make(store, made)
    assert first.made and not again.made
    (first.path / "environment.json").unlink()
    (first.path / "root/usr/bin/tool").unlink()
    remade = make(store, made)
    assert remade.made
    assert (remade.path / "root/usr/bin/tool").exists()
    assert remade.content == first.content


def test_only_programs_of_named_packages_come_on_path(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(
        package(store, "perl", {"root/usr/bin/pod*": "x"}, dependencies=("perl-base", "tar")),
        package(store, "perl-base", {"root/usr/bin/perl*": "x"}),
        package(store, "tar", {"root/usr/bin/tar*": "x", "root/usr/bin/rmt*": "x"}),
        package(store, "meta", {"root/usr/share/doc/meta": "x"}, dependencies=("real",)),
        package(store, "real", {"root/usr/games/play*": "x", "root/usr/bin/hidden*": "x"}),
        package(store, "tsc", {"bin/tsc": "-> ../lib/tsc", "lib/tsc*": "x"}, source="npm"),
        package(store, "dep", {"bin/dep": "-> ../lib/dep", "lib/dep*": "x"}, source="npm"),
        roots=("perl", "meta", "tsc"),
        expose=("rmt",),
        hide=("hidden",),
    )
    environment = make(store, made)
    assert environment.programs == ("perl", "play", "pod", "rmt", "tsc")
    assert (environment.path / "libexec/dep").exists()


def test_direct_dependencies_of_the_same_source_keep_a_packages_programs(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def built(source: str, made: LockedPackage) -> LockedPackage:
        location = f"pool/{source}/{made.name}.deb"
        return replace(made, artifact=replace(made.artifact, location=location))

    essential = {"essential": "yes"}
    jre = package(store, "jre", {"root/usr/bin/java*": "x"}, dependencies=("jre-data", "ldd"))
    made = plan(
        built("jdk", package(store, "jdk", {"root/usr/bin/javac*": "x"}, dependencies=("jre", "cat", "lib"))),
        built("jdk", jre),
        built("jdk", package(store, "cat", {"root/usr/bin/cat*": "x"}, attributes=essential)),
        built("jdk", package(store, "lib", {"root/usr/lib/x": "x"}, dependencies=("far",))),
        package(store, "far", {"root/usr/bin/far*": "x"}),
        package(store, "ldd", {"root/usr/bin/ldd*": "x"}),
        roots=("jdk",),
    )
    assert make(store, made).programs == ("java", "javac")


def test_a_script_that_looks_beside_itself_is_called_by_its_own_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    script = '#!/bin/sh\ncat "$(dirname "$0")/../share/word"; echo "$@"\n'
    files = {
        "root/usr/bin/tool*": script,
        "root/usr/share/word": "deep\n",
        "root/usr/bin/plain*": "#!/bin/sh\n",
    }
    environment = make(store, plan(package(store, "tool", files), roots=("tool",)))
    called = subprocess.run(
        [environment.path / "bin/tool", "a b"], capture_output=True, text=True, check=True
    )
    assert called.stdout == "deep\na b\n"
    assert (environment.path / "bin/plain").is_symlink()


def test_alternatives_that_finishing_made_are_exposed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(
        package(store, "mawk", {"root/usr/bin/mawk*": "x"}),
        package(store, "other", {"root/usr/bin/other*": "x"}),
        roots=("mawk",),
    )

    def finish(root: Path) -> None:
        (root / "etc/alternatives").mkdir(parents=True)
        for name, target in (("awk", "mawk"), ("thing", "other")):
            (root / f"etc/alternatives/{name}").symlink_to(f"../../usr/bin/{target}")
            (root / f"usr/bin/{name}").symlink_to(f"../../etc/alternatives/{name}")

    assert make(store, made, finish=finish).programs == ("awk", "mawk")


def test_python_makes_the_environment_a_virtual_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(
        package(store, "python3-minimal", {"root/usr/bin/python3": "-> python3.13"}),
        package(store, "python3.13-minimal", {"root/usr/bin/python3.13*": "x"}, version="3.13.5-2"),
        package(store, "pandas", {"lib/python3.13/site-packages/pandas.py": "x"}, source="pypi"),
        roots=("pandas",),
    )
    environment = make(store, made)
    assert f"home = {environment.path}/root/usr/bin\n" in (environment.path / "pyvenv.cfg").read_text()
    assert "version = 3.13.5\n" in (environment.path / "pyvenv.cfg").read_text()
    assert os.path.realpath(environment.path / "bin/python") == str(environment.root / "usr/bin/python3.13")


def test_packages_that_hold_different_files_of_one_name_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(
        package(store, "one", {"root/usr/bin/tool*": "1", "root/usr/bin/same*": "s"}),
        package(store, "two", {"root/usr/bin/tool*": "2", "root/usr/bin/same*": "s"}),
    )
    with pytest.raises(FileConflict, match=r"`one` 1\.0 and `two` 1\.0 hold different .*root/usr/bin/tool"):
        make(store, made)
    assert not store.environments.exists() or os.listdir(store.environments) == []


def test_a_package_that_replaces_another_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(
        package(store, "new", {"root/usr/bin/tool*": "new"}, attributes={"replaces": "old"}),
        package(store, "old", {"root/usr/bin/tool*": "old", "root/usr/share/doc/x": "1"}),
        package(store, "third", {"root/usr/share/doc/x": "2"}),
    )
    environment = make(store, made)
    assert (environment.root / "usr/bin/tool").read_text() == "new"
    assert (environment.root / "usr/share/doc/x").read_text() == "1"


def test_content_is_equal_in_two_stores_and_with_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def content(root: Path) -> tuple[str, str]:
        store = Store(root)
        files = {"root/usr/bin/a*": "#!/@cape-env@/root/usr/bin/b\n", "root/usr/bin/b*": "b"}
        environment = make(store, plan(package(store, "p", files), roots=("p",)))
        return environment.identity.hex, environment.content.hex

    first = content(tmp_path / "one")
    assert content(tmp_path / "a/longer/place") == first

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert content(tmp_path / "copies") == first
    (copied,) = (tmp_path / "copies/environments").glob("*/root/usr/bin/b")
    assert copied.stat().st_nlink == 1


def test_the_link_limit_of_a_file_system_means_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.link, []

    def limited(source: str, target: str, **options: bool) -> None:
        calls.append(target)
        if str(target).endswith("full"):
            raise OSError(errno.EMLINK, "Too many links")
        real(source, target, **options)

    monkeypatch.setattr(os, "link", limited)
    store = Store(tmp_path)
    environment = make(store, plan(package(store, "p", {"root/full": "f", "root/other": "o"})))
    assert (environment.root / "full").read_text() == "f"
    assert (environment.root / "full").stat().st_nlink == 1
    assert (environment.root / "other").stat().st_nlink == 2


def test_objects_are_made_by_workers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = plan(*(package(store, f"p{n}", {f"root/usr/share/f{n}": "x" * n}) for n in range(12)))
    objects = make_objects(made, unpack=unpack, relocate=relocate, store=store, workers=2)
    assert [one.facts["package"]["name"] for one in objects] == [f"p{n}" for n in range(12)]
    assert [one.key for one in objects] == list(plan_keys(made, store))
    assert os.listdir(tmp_path / "leases") == []


def test_what_a_worker_raises_arrives_and_the_rest_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    packages = [package(store, f"p{n}", {f"root/f{n}": "x"}) for n in range(6)]
    bad = packages[3].artifact
    store.artifacts.path(bad.digest).chmod(0o644)
    store.artifacts.path(bad.digest).write_bytes(b"rotten")
    with pytest.raises(ArtifactDamaged, match=r"`p3` 1\.0 was damaged in the store"):
        make_objects(plan(*packages), unpack=unpack, relocate=relocate, store=store, workers=2)
    assert not store.artifacts.has(bad.digest), "it can be fetched anew"
    assert [name for name in os.listdir(store.objects.root) if name.startswith(".")] == []


def test_a_killed_worker_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fatal(package: object, artifact: Path, into: Path) -> None:
        (into / "half").write_text("half")
        os.kill(os.getpid(), 9)

    made = plan(package(store, "a", {"root/a": "a"}), package(store, "b", {"root/b": "b"}))
    with pytest.raises(WorkerDied, match="exit code -9"):
        make_objects(made, unpack=fatal, relocate=relocate, store=store, workers=2)
    make(store, made)
    assert [name for name in os.listdir(store.objects.root) if name.startswith(".")] == []


KILLED = """
    import os, sys, time
    from pathlib import Path
    from cape.environment import realisation
    from cape.store import Store
    from tests.environment.builders import make, package, plan

    store = Store(Path(sys.argv[1]))
    made = plan(package(store, "p", {f"root/usr/share/f{n}": "x" for n in range(200)}))

    def finish(root):
        print("finishing", flush=True)
        time.sleep(60)

    make(store, made, finish=finish)
"""


def test_an_environment_whose_maker_was_killed_is_made_by_the_next(tmp_path: Path) -> None:
    script = textwrap.dedent(KILLED)
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.kill()
    store = Store(tmp_path)
    made = plan(package(store, "p", {f"root/usr/share/f{n}": "x" for n in range(200)}))
    assert read_environment(store.environment_path(made.identity)) is None
    environment = make(store, made)
    assert environment.files == 200
    assert os.listdir(store.environments) == [environment.path.name]


def _sync(root: Path) -> None:
    store = Store(root)
    made = plan(
        *(package(store, f"p{n}", {f"root/usr/share/{n}/f{m}": "x" for m in range(50)}) for n in range(20)),
    )
    objects = make_objects(made, unpack=unpack, relocate=relocate, store=store, workers=2)
    realise(made, objects, store)


def test_two_syncs_at_once_end_with_one_environment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_sync, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    (environment,) = (tmp_path / "environments").iterdir()
    assert json.loads((environment / "environment.json").read_text())["files"] == 1000
    for one in Store(tmp_path).objects:
        one.verify()


def test_a_full_disk_while_linking_leaves_no_environment(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=2m,nr_inodes=150"]
    if subprocess.run(["mount", *options, "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        store = Store(disk)
        made = plan(package(store, "p", {f"root/d{n}/f": "x" for n in range(40)}))
        objects = make_objects(made, unpack=unpack, relocate=relocate, store=store, workers=1)
        with pytest.raises(DiskFull):
            realise(made, objects, store)
        assert os.listdir(store.environments) == []
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_the_redirecting_library_comes_from_an_object_of_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    library = tmp_path / "libcape-redirect.so"
    library.write_bytes(b"\x7fELF library")
    library.chmod(0o644)
    made = plan(package(store, "libc6", {"root/usr/lib/libc.so.6": "c"}))
    environment = make(store, made, redirect=library)
    placed = environment.root / "usr/lib/libcape-redirect.so"
    assert placed.read_bytes() == library.read_bytes()
    assert not os.path.samefile(placed, library), "a new build of cape does not reach into environments"
    assert library.stat().st_mode & 0o777 == 0o644
    assert len(json.loads((environment.path / "environment.json").read_text())["objects"]) == 2


class Trickle:
    """Artifacts that come one after another, each after the object before it was made."""

    def __init__(self, store: Store, packages: Sequence[LockedPackage], *, failure: CapeError | None = None):
        self.connection, self._bell = multiprocessing.Pipe(duplex=False)
        self.expected = frozenset(one.artifact.digest for one in packages)
        self.objects_seen: list[int] = []
        self._store = store
        self._packages = packages
        self._failure = failure
        self._hidden = {one.artifact.digest: store.artifacts.path(one.artifact.digest) for one in packages}
        for path in self._hidden.values():
            path.rename(path.with_suffix(".hidden"))

    def start(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        for count, one in enumerate(self._packages, 1):
            path = self._hidden[one.artifact.digest]
            path.with_suffix(".hidden").rename(path)
            self._bell.send(one.artifact.digest)
            deadline = time.monotonic() + 20
            while len(list(self._store.objects.all())) < count and time.monotonic() < deadline:
                time.sleep(0.01)
            self.objects_seen.append(len(list(self._store.objects.all())))
        self._bell.send(self._failure)

    def take(self) -> Digest | None:
        news = self.connection.recv()
        if isinstance(news, CapeError):
            raise news
        assert news is None or isinstance(news, Digest)
        return news

    def stop(self) -> None:
        pass


def test_objects_are_made_while_other_artifacts_are_still_on_their_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    packages = [package(store, f"p{n}", {f"root/f{n}": "x"}) for n in range(4)]
    arriving = Trickle(store, packages)
    made = plan(*packages)
    objects = make_objects(made, unpack=unpack, relocate=relocate, store=store, workers=2, arriving=arriving)
    assert arriving.objects_seen == [1, 2, 3, 4], "each was finished before the next came"
    assert [one.key for one in objects] == list(plan_keys(made, store))


def test_what_came_before_a_download_failed_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    packages = [package(store, f"p{n}", {f"root/f{n}": "x"}) for n in range(3)]
    arriving = Trickle(store, packages[:2], failure=StateError("the registry went away"))
    with pytest.raises(StateError, match="the registry went away"):
        make_objects(
            plan(*packages), unpack=unpack, relocate=relocate, store=store, workers=2, arriving=arriving
        )
    assert {one.facts["package"]["name"] for one in store.objects} >= {"p0", "p1"}
    assert os.listdir(tmp_path / "leases") == []
