"""What is sent, what is refused before and after, and what a job for Kubernetes says."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from pathlib import Path

import pytest
import yaml

from cape.submitting import (
    Address,
    ClusterFailed,
    ClusterUnreachable,
    Job,
    NoRoom,
    OtherVersions,
    UnknownCluster,
    files_to_send,
    parse_address,
    write_files,
)
from cape.submitting.errors import TooLarge
from cape.submitting.running import Heard, bring
from tests.end_to_end.harness import INPUT, SOURCE, STATE, Project, World


class Quiet:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def line(self, task: int, stream: str, text: str) -> None:
        self.said.append(f"{task} {stream} {text}")


@pytest.mark.parametrize(
    "text", ["ray://", "head:10001", "ray://a:b", "ray://a:0", "ray://a:70000", "k9s", ""]
)
def test_an_address_that_names_no_cluster_is_refused(text: str) -> None:
    with pytest.raises(UnknownCluster, match="is no cluster"):
        parse_address(text)


def test_addresses_have_a_usual_port() -> None:
    assert parse_address("ray://head") == Address(host="head", port=10001)
    assert str(parse_address("ray://[::1]:7/")) == "ray://[::1]:7"


def test_more_than_the_limit_is_refused_with_the_largest_files(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    (tmp_path / "small").write_bytes(b"x")
    with pytest.raises(TooLarge, match=r"are 3\.0 MB, the limit is 1\.0 MB: `large` \(3\.0 MB\), `small`"):
        files_to_send(tmp_path, ["large", "small"], limit_bytes=1_000_000)


def test_files_are_sent_with_plain_modes_and_links_as_links(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    (tmp_path / "run").chmod(0o700)
    (tmp_path / "link").symlink_to("run")
    write_files(tmp_path, files_to_send(tmp_path, ["run", "link"], limit_bytes=100), tmp_path / "sent")
    with tarfile.open(tmp_path / "sent") as archive:
        told = {one.name: (one.mode, one.linkname, one.mtime) for one in archive}
    assert told["run"] == (0o755, "", 0) and told["link"][1] == "run"


def heard(tmp_path: Path, events: Quiet, tasks: int = 1) -> Heard:
    (tmp_path / "driver.log").write_text("first\nlast words\n")
    job = Job(command=("x",), tasks=tasks)
    address = Address(host="head", port=1)
    return Heard(job, tmp_path, tmp_path, events, tmp_path / "driver.log", address)


def event(name: str, **fields: object) -> bytes:
    return json.dumps({"event": name, **fields}).encode()


MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.1\nThis process ..."
)


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        (event("not-connected", why=MISMATCH, versions=True, ray="2.60.0"), OtherVersions, "Ray: 2.59.0"),
        (
            event("not-connected", why="timed out", versions=False, ray="2.60.0"),
            ClusterUnreachable,
            "timed out",
        ),
        (event("no-room", wanted={"CPU": 9, "GPU": 0}, most={"CPU": 1, "GPU": 0}), NoRoom, "takes 9 CPU,"),
        (event("wrong-machine", task=0, node="n", machine="aarch64"), NoRoom, "`n` is a aarch64 machine"),
        (event("broken", task=3, why="OSError: no room"), ClusterFailed, "task 3 could not be run: OSError"),
        (event("failed", why="gone"), ClusterFailed, "went away: gone\n    first\n    last words"),
    ],
)
def test_what_the_driver_tells_of_failures_ends_the_job(
    tmp_path: Path, line: bytes, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as failed:
        heard(tmp_path, Quiet()).event(line)
    assert says in str(failed.value)


def test_a_driver_that_ends_early_or_says_nonsense_is_no_success(tmp_path: Path) -> None:
    one = heard(tmp_path, Quiet())
    for nonsense in (b"not json", b"[]", b"1", b'{"event": "unheard"}'):
        one.event(nonsense)
    with pytest.raises(ClusterFailed, match="ended before the job did"):
        one.submission()


def test_a_task_that_was_lost_too_often_has_no_code_and_the_job_fails(tmp_path: Path) -> None:
    events = Quiet()
    one = heard(tmp_path, events)
    one.event(event("lost", task=0, starts=4, why="The node died"))
    done = one.submission()
    assert done.code == 1 and done.finished[0].code is None and done.finished[0].starts == 4
    assert events.said == ["task 0 is lost for good: The node died"]


def test_results_that_lead_out_of_their_directory_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "results.tar.gz"
    with tarfile.open(archive, "w:gz") as stream:
        member = tarfile.TarInfo("../../escaped")
        stream.addfile(member, io.BytesIO())
    with pytest.raises(ClusterFailed, match="cannot be unpacked"):
        bring(archive, tmp_path / "project" / "outputs")
    assert list((tmp_path / "project" / "outputs").iterdir()) == []


def test_results_replace_files_of_their_name_and_leave_others(tmp_path: Path) -> None:
    archive = tmp_path / "results.tar.gz"
    (tmp_path / "new").write_text("new")
    with tarfile.open(archive, "w:gz") as stream:
        stream.add(tmp_path / "new", arcname="./deep/one")
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "one").write_text("old")
    (tmp_path / "out" / "other").write_text("other")
    assert bring(archive, tmp_path / "out") == (tmp_path / "out/deep/one",)
    assert {file.name: file.read_text() for file in (tmp_path / "out").rglob("*") if file.is_file()} == {
        "one": "new",
        "other": "other",
    }


# -- the command ----------------------------------------------------------------------------------------


@pytest.fixture
def project(stocked: World) -> Project:
    made = stocked.project(
        hello="*", text='\n[vars]\nMODE = "plain"\n[secrets]\nTOKEN = { command = "cat token" }\n'
    )
    made.cape("lock").succeeded()
    return made


def test_bad_requests_are_refused_before_anything_is_packed(project: Project) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"ray://127.0.0.1:{probe.getsockname()[1]}"
        project.cape("submit", "--on", closed, "--", "hello").failed(
            SOURCE, "nothing answers at", "ray start"
        )
    project.cape("submit", "--on", "slurm", "--", "hello").failed(INPUT, "`slurm` is no cluster")
    project.cape("submit", "--on", "ray://127.0.0.1").failed(2, "there is no command")
    for flag, number in (("--tasks", "0"), ("--tasks", "1.5"), ("--cpus", "x"), ("--retries", "-1")):
        project.cape("submit", flag, number, "--", "hello").failed(2, f"`{flag} {number}` is no number")
    project.cape("submit", "--outputs", "../x", "--", "hello").failed(2, "no directory below the project")
    project.cape("submit", "--pass", "NOT_SET_HERE", "--", "hello").failed(INPUT, "`NOT_SET_HERE` is not set")


def test_a_dry_run_says_what_would_be_sent_and_asks_no_cluster(project: Project) -> None:
    words = ("submit", "--on", "ray://127.0.0.1:9", "-n", "3", "--dry-run", "--json", "--", "hello")
    told = json.loads(project.cape(*words).succeeded().stdout)
    assert set(told) == {
        "schema_version", "on", "command", "tasks", "lock", "ray", "files", "size_bytes", "not_sent"
    }  # fmt: skip
    assert (told["on"], told["command"], told["tasks"]) == ("ray://127.0.0.1:9", ["hello"], 3)
    assert told["not_sent"] == ["TOKEN"] and told["files"] >= 2 and told["ray"] == "*"
    other = json.loads(project.cape(*words[:-2], "--ray", "2.1", "--", "hello").succeeded().stdout)
    assert other["ray"] == "2.1"


def test_a_job_for_kubernetes_has_the_files_an_index_and_no_secret(project: Project) -> None:
    (project.directory / "deep").mkdir()
    (project.directory / "deep/run.sh").write_text("echo $CAPE_TASK\n")
    words = ("submit", "--on", "k8s", "--image", "registry.example/app:1", "-n", "4", "--claim", "kept")
    done = project.cape(*words, "--", "sh", "deep/run.sh").succeeded()
    assert "must have the keys `TOKEN`" in done.stderr
    files, job = yaml.safe_load_all(done.stdout)
    validator = pytest.importorskip("kubernetes_validate")
    for one in (files, job):
        validator.validate(one, "1.33", strict=True)
    spec = job["spec"]
    assert (spec["completions"], spec["completionMode"], spec["backoffLimitPerIndex"]) == (4, "Indexed", 3)
    container = spec["template"]["spec"]["containers"][0]
    assert (
        container["args"] == ["--cape-run", "sh", "deep/run.sh"] and container["workingDir"] == "/cape/work"
    )
    told = {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
    assert told["MODE"] == "plain" and told["CAPE_TASKS"] == "4"
    assert told["TOKEN"] == {"secretKeyRef": {"name": "test", "key": "TOKEN"}}
    volumes = {one["name"]: one for one in spec["template"]["spec"]["volumes"]}
    assert volumes["outputs"]["persistentVolumeClaim"] == {"claimName": "kept"}
    assert {one["path"] for one in volumes["work"]["configMap"]["items"]} >= {"cape.toml", "deep/run.sh"}
    assert volumes["work"]["configMap"]["name"] == files["metadata"]["name"]


def test_a_job_for_kubernetes_wants_an_image_little_files_and_kubectl(project: Project) -> None:
    words = ("submit", "--on", "k8s", "--image", "registry.example/app:1")
    project.cape("submit", "--on", "k8s", "--", "hello").failed(STATE, "runs in an image", "`cape image`")
    bare = project.with_variables(PATH="/nonexistent")
    bare.cape(*words, "--apply", "--", "hello").failed(STATE, "no `kubectl` here, so nothing was applied")
    (project.directory / "large").write_bytes(bytes(800_000))
    project.cape(*words, "--", "hello").failed(INPUT, "the limit is 0.7 MB: `large`")


KUBECTL = """#!/bin/sh
case $1 in
apply) cat > "$0.applied" ;;
logs) echo "[pod/x/task] it runs" ;;
get) echo "SuccessCriteriaMet $ENDS" ;;
*) exit 9 ;;
esac
"""


@pytest.mark.parametrize(("ends", "code"), [("Complete", 0), ("Failed", 1)])
def test_what_kubectl_says_of_a_job_is_what_is_said(
    project: Project, tmp_path: Path, ends: str, code: int
) -> None:
    """A stand-in for `kubectl`: no cluster runs here. What it is asked is that of the real one, 1.32."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    path = f"{tmp_path}:{project.environment['PATH']}"
    words = ("submit", "--on", "k8s", "--image", "registry.example/app:1", "--apply", "--", "hello")
    done = project.with_variables(PATH=path, ENDS=ends).cape(*words)
    assert done.code == code and "[pod/x/task] it runs" in done.stdout
    assert ends in done.stderr and "kind: Job" in (tmp_path / "kubectl.applied").read_text()
