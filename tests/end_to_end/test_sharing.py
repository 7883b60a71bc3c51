"""One user's environment is another's: pushed to a place, signed, pulled, and equal to the byte."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.end_to_end.harness import INTEGRITY, SOURCE, STATE, Project, World, collect
from tests.end_to_end.test_npm_projects import own_project, stocked_npm
from tests.end_to_end.test_vendoring import cut_off, delete_from_mirror, digests

__all__ = ["stocked_npm"]


def user(project: Project, world: World, name: str) -> Project:
    """The project as another user of the machine has it: with settings and keys of that user's."""
    return project.with_variables(XDG_CONFIG_HOME=str(world.place / f"config-{name}"), USER=name)


def with_key(project: Project, name: str) -> str:
    """Make a key; its public part."""
    return project.cape("key", "new", name).succeeded().stdout.strip()


@pytest.fixture
def anna(stocked: World) -> Project:
    """Anna's synced project, and her key."""
    project = user(stocked.project(hello="*"), stocked, "anna")
    project.cape("sync").succeeded()
    with_key(project, "anna")
    return project


@pytest.fixture(params=["directory", "git"])
def place(request: pytest.FixtureRequest, stocked: World) -> str:
    """A place, of each kind that can be pushed to without a server."""
    directory = stocked.place / "place"
    if request.param == "directory":
        return str(directory)
    subprocess.run(["git", "init", "--quiet", "--bare", directory], check=True)
    return f"git+file://{directory}#shared"


def bens(stocked: World, anna: Project, *, trusting: bool = True) -> Project:
    """Ben: another directory, another store, settings of his own, and no project yet."""
    ben = user(stocked.clone(anna, store="elsewhere/bens-store"), stocked, "ben")
    for file in ben.directory.iterdir():
        if file.is_file():
            file.unlink()
    if trusting:
        ben.cape("key", "trust", anna.cape("key", "export").succeeded().stdout.strip()).succeeded()
    return ben


def test_what_one_pushes_another_pulls_with_equal_digests(stocked: World, anna: Project, place: str) -> None:
    anna.cape("push", place, "--with-artifacts", "-m", "the first").succeeded()
    ben = bens(stocked, anna)
    delete_from_mirror(stocked)
    stocked.server.requests.clear()
    cut_off(ben).cape("fork", place).succeeded()
    assert stocked.server.requests == [], "every artifact came from the place"
    assert digests(ben) == digests(anna)
    assert ben.cape("run", "--", "hello").succeeded().stdout == anna.cape("run", "--", "hello").stdout


def test_what_an_unknown_key_signed_is_not_taken(stocked: World, anna: Project, place: str) -> None:
    anna.cape("push", place).succeeded()
    ben = bens(stocked, anna, trusting=False)
    refused = ben.cape("fork", place).failed(STATE, "which you do not trust", "cape key trust")
    assert not ben.manifest.exists()
    line = refused.stderr.split("cape key trust '")[1].split("'")[0]
    ben.cape("key", "trust", line).succeeded()
    ben.cape("fork", place).succeeded()


def test_a_push_over_what_others_pushed_is_refused_with_the_difference(
    stocked: World, anna: Project, place: str
) -> None:
    anna.cape("push", place).succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    anna.cape("key", "trust", with_key(ben, "ben")).succeeded()
    ben.cape("install", "tool").succeeded()
    ben.cape("push", place).succeeded()
    anna.cape("install", "other").succeeded()
    anna.cape("push", place).failed(STATE, "ben", "- tool 1.0-1", "+ other 1.0-1", "--force")
    anna.cape("pull").failed(STATE, "`cape.toml`", "changed here", "NAME.mine")
    anna.cape("push", place, "--force").succeeded()
    newest = json.loads(anna.cape("log", place, "--json").succeeded().stdout)["generations"][0]
    assert (newest["number"], newest["key"]["name"]) == (3, "anna")
    assert newest["forced_over"] == newest["parent"], "the record says over what it was forced"


def test_pulling_again_takes_what_is_new_and_keeps_local_changes(
    stocked: World, anna: Project, place: str
) -> None:
    anna.cape("push", place).succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    anna.cape("install", "tool").succeeded()
    anna.cape("push").succeeded()
    assert "+ tool 1.0-1" in ben.cape("pull").succeeded().stderr
    ben.manifest.write_text(ben.manifest.read_text() + "# mine\n")
    anna.cape("install", "other").succeeded()
    anna.cape("push").succeeded()
    before = ben.manifest.read_bytes()
    ben.cape("pull").failed(STATE, "changed here")
    assert ben.manifest.read_bytes() == before
    ben.cape("pull", "--force").succeeded()
    assert (ben.directory / "cape.toml.mine").read_bytes() == before
    assert digests(ben) == digests(anna)


def test_an_earlier_generation_of_a_place_can_be_pulled(stocked: World, anna: Project, place: str) -> None:
    anna.cape("push", place).succeeded()
    first = digests(anna)
    anna.cape("install", "tool").succeeded()
    anna.cape("push").succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    ben.cape("pull", place, "--generation", "1").succeeded()
    assert digests(ben) == first
    ben.cape("pull", place, "--generation", "3").failed(STATE, "no generation 3", "1 to 2")


def alter(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.chmod(0o644)
    file.write_text(text.replace(old, new))


def test_altered_records_locks_and_artifacts_are_found_out(stocked: World, anna: Project) -> None:
    place = stocked.place / "place"
    anna.cape("push", str(place), "--with-artifacts").succeeded()
    ben = bens(stocked, anna)
    record = place / "records/1.json"
    whole = record.read_text()
    alter(record, "anna@", "eve@")
    ben.cape("fork", str(place)).failed(INTEGRITY, "altered after it was signed")
    record.write_text(whole)
    lock = next(file for file in place.glob("blobs/*/*") if b'"row"' in file.read_bytes()[:4000])
    text = lock.read_text()
    alter(lock, "1.0-1", "6.6-6")
    ben.cape("fork", str(place)).failed(INTEGRITY, "`cape.lock`", "it was altered")
    lock.write_text(text)
    artifact = max(place.glob("blobs/*/*"), key=lambda file: file.stat().st_size)
    artifact.write_bytes(b"x" + artifact.read_bytes()[1:])
    cut_off(ben).cape("fork", str(place)).failed(INTEGRITY)
    assert not ben.manifest.exists(), "a project that could not be made is none"


def test_a_revoked_keys_later_records_are_refused(stocked: World, anna: Project, place: str) -> None:
    anna.cape("push", place).succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    anna.cape("key", "revoke", "anna", place, "--reason", "laptop lost").succeeded()
    anna.cape("key", "remove", anna_fingerprint(anna)).succeeded()
    anna.cape("install", "tool").succeeded()
    anna.cape("push", place).succeeded()  # whoever has the key can still sign with it
    ben.cape("pull").failed(INTEGRITY, "was revoked", "laptop lost")
    assert "tool" not in ben.manifest.read_text()


def anna_fingerprint(project: Project) -> str:
    own = json.loads(project.cape("key", "list", "--json").succeeded().stdout)["own"]
    return str(own[0]["fingerprint"])


def test_a_command_runs_in_a_places_environment_without_a_project(
    stocked: World, anna: Project, place: str
) -> None:
    anna.cape("push", place, "--with-artifacts").succeeded()
    ben = bens(stocked, anna)
    assert cut_off(ben).cape("run", "-r", place, "--", "hello").succeeded().stdout
    assert not ben.manifest.exists(), "nothing was made here"
    line = ben.cape("activate", "-r", place, "--shell", "bash").succeeded().stdout
    assert "borrowed" in line
    anna.cape("install", "tool").succeeded()
    anna.cape("push", "--with-artifacts").succeeded()
    assert ben.cape("run", "-r", place, "--", "tool").succeeded().stdout, "it follows the place"


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The directory through a web server on loopback; its address."""
    handler = partial(QuietHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


def test_a_place_that_is_away_leaves_what_was_there_last(stocked: World, anna: Project) -> None:
    place = stocked.place / "place"
    anna.cape("push", str(place)).succeeded()
    ben = bens(stocked, anna)
    with served(place) as url:
        ben.cape("run", "-r", url, "--", "hello").succeeded()
    told = ben.cape("run", "-r", url, "--", "hello").succeeded()
    assert "there last" in told.stderr
    ben.cape("run", "-r", url + "x", "--", "hello").failed(4, "does not answer")


def test_a_directory_place_is_a_place_through_http_too(stocked: World, anna: Project) -> None:
    place = stocked.place / "place"
    anna.cape("push", str(place), "--with-artifacts").succeeded()
    anna.cape("install", "tool").succeeded()
    anna.cape("push", "--with-artifacts").succeeded()
    (place / "head").write_text("1\n")  # a push that was killed before it could point to its record
    ben = bens(stocked, anna)
    with served(place) as url:
        cut_off(ben).cape("fork", url).succeeded()
        assert digests(ben) == digests(anna)
        anna.cape("install", "other").succeeded()
        anna.cape("push", url, "--force").failed(STATE, "not pushed to")
        (place / "head").write_text("many\n")
        ben.cape("pull").failed(INTEGRITY, "`head` is no number")


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
def test_a_projects_own_list_of_packages_travels_too(stocked_npm: World) -> None:
    anna = user(own_project(stocked_npm, dependencies={"app": "^1.0.0"}), stocked_npm, "anna")
    with_key(anna, "anna")
    anna.cape("sync").succeeded()
    place = str(stocked_npm.place / "place")
    anna.cape("push", place, "--with-artifacts").succeeded()
    ben = bens(stocked_npm, anna)
    cut_off(ben).cape("fork", place).succeeded()
    assert (ben.directory / "package.json").read_bytes() == (anna.directory / "package.json").read_bytes()
    assert digests(ben) == digests(anna)


def test_an_artifact_that_the_place_lost_comes_from_its_registry_or_is_named(
    stocked: World, anna: Project
) -> None:
    place = str(stocked.place / "place")
    anna.cape("push", place, "--with-artifacts").succeeded()
    row = next(json.loads(line) for line in anna.lock.read_text().splitlines() if '"hello"' in line)
    (hex_,) = {text.removeprefix("sha256:") for text in _texts(row) if len(text) >= 64}
    (Path(place) / "blobs" / hex_[:2] / hex_).unlink()
    ben = bens(stocked, anna)
    cut_off(ben).cape("fork", place).failed(SOURCE, "hello")
    assert not ben.manifest.exists()
    ben.cape("fork", place).succeeded()
    assert digests(ben) == digests(anna)
    anna.cape("push", place, "--with-artifacts", "--force").succeeded()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)


def test_of_two_pushes_at_once_one_is_refused(stocked: World, anna: Project, place: str) -> None:
    anna.cape("push", place).succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    anna.cape("key", "trust", with_key(ben, "ben")).succeeded()
    anna.cape("install", "tool").succeeded()
    ben.cape("install", "other").succeeded()
    both = [collect(process) for process in [one.start("push", place) for one in (anna, ben)]]
    assert sorted(done.code for done in both) == [0, STATE], [done.stderr for done in both]
    (refused,) = (done for done in both if done.code)
    refused.failed(STATE, "generation 2 of", "--force")
    told = json.loads(anna.cape("log", place, "--json").succeeded().stdout)["generations"]
    assert [one["number"] for one in told] == [2, 1]


def test_a_clock_that_is_off_changes_no_order_and_is_told(stocked: World, anna: Project, place: str) -> None:
    from cape.sharing import Ledger, open_place
    from cape.sharing.keys import KeyRing, Trust

    anna.cape("push", place).succeeded()
    settings = {"XDG_CONFIG_HOME": anna.environment["XDG_CONFIG_HOME"]}
    ledger = Ledger(open_place(place, cache=stocked.place / "cache"), Trust(settings))
    head = ledger.head()
    assert head is not None
    ahead = replace(
        head.record, number=2, parent=head.digest, pushed_at="2099-01-01T00:00:00Z", message="from the future"
    )
    assert ledger.add(ahead, KeyRing(settings).get("anna")) is not None
    anna.cape("pull", place).succeeded()
    anna.cape("install", "tool").succeeded()
    anna.cape("push", place).succeeded()
    shown = anna.cape("log", place).succeeded().stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["3", "2", "1"], "by number, whatever clocks said"
    assert "clock that is ahead of this machine's" in shown[1]
    assert "a clock that" not in shown[0] + shown[2]
