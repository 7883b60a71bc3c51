"""Projects with variants: the real command, with registries on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, SOURCE, STATE, Project, World, script, world_at
from tests.mirrors.pypi import PythonIndex, python_index

ARCHITECTURES = ("amd64", "arm64")
VARIED = (
    '{ variants = [{ pypi = ">=2", when = "cuda>=12", systems = ["x86_64-linux"] }, '
    '{ debian = "python3-torch", when = "cpu" }] }'
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An archive with a Python and Debian's torch, and an index with a torch for CUDA and what needs it."""
    with world_at(tmp_path) as running:
        for architecture in ARCHITECTURES:
            running.archive.add("python3", "3.13.5-1", architecture=architecture)
            running.archive.add("libstdc++6", "14.2.0-1", architecture=architecture)
            running.archive.add("python3-torch", "2.6.0+dfsg-7", architecture=architecture, depends="python3")
        running.publish()
        running.index.add_wheel("nvidia-cuda-runtime-cu12", "12.8.90")
        running.index.add_wheel("torch", "2.9.0", requires=["nvidia-cuda-runtime-cu12==12.8.90", "six"])
        running.index.add_wheel("torch", "1.0")
        running.index.add_wheel("six", "1.17.0")
        running.index.add_wheel("accelerate", "1.0", requires=["torch>=2.0", "six"])
        running.index.add_wheel("newer", "1.0", requires=["torch>=2.8"])
        yield running


@pytest.fixture
def named() -> Iterator[PythonIndex]:
    """An index of one project's own."""
    with python_index() as index:
        index.add_wheel("torch", "2.9.0+cpu", requires=["six"])
        yield index


def rows(project: Project, kind: str = "package") -> list[dict[str, object]]:
    lines = [json.loads(line) for line in project.lock.read_text().splitlines()[1:]]
    return [row for row in lines if row["row"] == kind]


def listed(project: Project, *words: str) -> set[str]:
    found = json.loads(project.cape("list", "--all", "--json", *words, CAPE_GPU="cpu").succeeded().stdout)
    return {f"{row['source']}:{row['name']}" for row in found["packages"]}


def test_all_variants_are_locked_and_rows_name_their_combinations(world: World) -> None:
    project = world.project(torch=VARIED, accelerate='{ pypi = "*" }')
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    marked = {(row["source"], row["name"]): row.get("variants") for row in rows(project)}
    assert marked["pypi", "torch"] == ["torch:cuda>=12/pypi"]
    assert marked["debian", "python3-torch"] == ["torch:cpu/debian"]
    assert marked["pypi", "six"] is None
    text = project.lock.read_text()
    project.cape("lock", "--check", CAPE_GPU="cpu").succeeded()
    project.lock.unlink()
    project.cape("lock", CAPE_GPU="cuda12").succeeded()
    assert project.lock.read_text() == text, "the lock is the same whatever machine makes it"


def test_machine_takes_the_first_variant_that_holds(world: World) -> None:
    project = world.project(torch=VARIED)
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    assert "debian:python3-torch" in listed(project)
    assert "pypi:torch" not in listed(project)
    assert {"pypi:torch", "pypi:nvidia-cuda-runtime-cu12"} <= listed(project, "--gpu", "cuda12")
    foreseen = project.cape("sync", "--gpu", "cuda12", "--dry-run", CAPE_GPU="cpu").succeeded()
    assert "pypi:torch 2.9.0" in foreseen.stdout
    assert "python3-torch" not in foreseen.stdout
    project.cape("lock", "--check", CAPE_GPU="cuda12").succeeded()


def test_what_was_taken_is_explained(world: World) -> None:
    project = world.project(torch=VARIED)
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    for words in (("gpu", "--explain"), ("why", "torch")):
        done = project.cape(*words, CAPE_GPU="cpu").succeeded()
        told = done.stdout + done.stderr
        assert "`torch` is debian:python3-torch, for `cpu`" in told
        assert "the machine has `cpu`, not `cuda`" in told
    told = json.loads(project.cape("gpu", "--json", CAPE_GPU="cpu").succeeded().stdout)["variants"]
    assert [(one["name"], one["when"], one["passed_over"][0]["when"]) for one in told] == [
        ("torch", "cpu", "cuda>=12")
    ]


def test_debian_package_is_seen_by_python_packages(world: World) -> None:
    project = world.project(torch=VARIED, accelerate='{ pypi = "*" }')
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    assert {"debian:python3-torch", "pypi:accelerate", "pypi:six"} <= listed(project)
    assert "pypi:torch" not in listed(project)


def test_debian_package_that_is_too_old_is_a_conflict(world: World) -> None:
    project = world.project(torch=VARIED, newer='{ pypi = "*" }')
    project.cape("lock", CAPE_GPU="cpu").failed(
        INPUT, "torch:cpu/debian", "Debian's `python3-torch` here, which has 2.6.0", "needs `torch>=2.8`"
    )
    assert not project.lock.exists()


def test_no_variant_for_a_machine_lists_each_with_its_reason(world: World) -> None:
    project = world.project(
        torch='{ variants = [{ pypi = "*", when = "cuda>=12" }, '
        '{ debian = "python3-torch", when = "rocm" }] }'
    )
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    project.cape("list", CAPE_GPU="cpu").failed(
        STATE, "no variant of `torch` is for this machine", "`cuda>=12`: the machine has `cpu`", "`rocm`:"
    )
    project.cape("sync", "--gpu", "cuda11", CAPE_GPU="cpu").failed(
        STATE, "no variant", "its CUDA level is 11"
    )


def test_package_with_a_condition_alone_is_left_out_where_it_does_not_hold(world: World) -> None:
    project = world.project(six='{ pypi = "*", when = "cuda>=12,capability>=8.0" }', python3="*")
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    assert "pypi:six" not in listed(project)
    assert "pypi:six" in listed(project, "--gpu", "cuda12")


def test_lock_without_variants_says_nothing_of_them(world: World) -> None:
    project = world.project(six='{ pypi = "*" }')
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    assert "variants" not in project.lock.read_text()


def test_change_of_a_variant_makes_the_lock_stale(world: World) -> None:
    project = world.project(torch=VARIED)
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    project.manifest.write_text(project.manifest.read_text().replace('">=2"', '">=2.1"'))
    project.cape("lock", "--check", CAPE_GPU="cpu").failed(STATE, "the variants of `torch` are not those")
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    project.cape("lock", "--check", CAPE_GPU="cpu").succeeded()


def test_locking_again_keeps_versions_of_every_combination(world: World) -> None:
    project = world.project(torch=VARIED)
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    world.index.add_wheel("torch", "2.10.0", requires=["six"])
    project.manifest.write_text(project.manifest.read_text() + 'accelerate = { pypi = "*" }\n')
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    assert {row["version"] for row in rows(project) if row["name"] == "torch"} == {"2.9.0"}
    project.cape("upgrade", "torch", "--dry-run", CAPE_GPU="cpu").succeeded()


def test_variants_of_another_environment_are_its_own(world: World) -> None:
    project = world.project(six='{ pypi = "*" }', text=f"[environments.train.packages]\ntorch = {VARIED}\n")
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    project.cape("lock", "--check", CAPE_GPU="cpu").succeeded()
    assert "debian:python3-torch" not in listed(project)
    assert "debian:python3-torch" in listed(project, "-e", "train")
    assert "pypi:torch" in listed(project, "-e", "train", "--gpu", "cuda12")


def test_union_of_two_branches_is_locked_anew(world: World) -> None:
    project = world.project(torch=VARIED)
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    ours, manifest = project.lock.read_text(), project.manifest.read_text()
    project.manifest.write_text(manifest + 'six = { pypi = "*", when = "cuda>=12" }\n')
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    theirs = project.lock.read_text()
    merged = sorted({*ours.splitlines()[1:], *theirs.splitlines()[1:]})
    project.lock.write_text("\n".join([ours.splitlines()[0], *merged, ""]))
    project.cape("lock", "--check", CAPE_GPU="cpu").failed(STATE)
    project.cape("lock", CAPE_GPU="cpu").succeeded()
    changed = set(project.lock.read_text().splitlines()) ^ set(theirs.splitlines())
    assert not changed


# -- indices with a name ------------------------------------------------------------------------------

AUTO = '[options]\ngpu = "auto"\n'


def test_usual_variants_take_what_the_indices_at_hand_serve(world: World) -> None:
    project = world.project(torch='{ pypi = "*" }', text=AUTO)
    done = project.cape("lock", CAPE_GPU="cpu").succeeded()
    assert "`torch` for `cpu` is not locked" in done.stderr
    assert "`cape config pypi.indices pytorch-cpu=URL`" in done.stderr
    assert "debian:python3-torch" in listed(project)
    assert "pypi:torch" in listed(project, "--gpu", "cuda12")
    project.cape("lock", "--check", CAPE_GPU="cpu").succeeded()


def test_index_with_a_name_serves_its_variant_alone(world: World, named: PythonIndex) -> None:
    project = world.project(torch='{ pypi = "*" }', text=AUTO)
    known = project.with_variables(CAPE_PYPI_INDICES=f"pytorch-cpu={named.simple}")
    known.cape("lock", CAPE_GPU="cpu").succeeded()
    versions = {row["version"]: row.get("attributes") for row in rows(project) if row["name"] == "torch"}
    assert versions["2.9.0+cpu"] == {"index": "pytorch-cpu", "python": "3.13"}
    assert versions["2.9.0"] == {"python": "3.13"}
    assert "127.0.0.1" not in project.lock.read_text()
    known.cape("vendor", str(project.directory / "all"), CAPE_GPU="cpu").succeeded()
    text = project.lock.read_text()
    project.cape("lock", "--check", CAPE_GPU="cpu").succeeded()
    project.cape("vendor", str(project.directory / "more"), CAPE_GPU="cpu").succeeded()
    assert project.lock.read_text() == text


def test_package_on_an_index_that_nobody_named_is_refused(world: World) -> None:
    project = world.project(torch='{ pypi = "*", index = "pytorch-cpu" }')
    project.cape("lock", CAPE_GPU="cpu").failed(
        SOURCE, "`pytorch-cpu`", "is not known on this machine", "cape config pypi.indices pytorch-cpu=URL"
    )


def test_bad_setting_of_indices_is_told(world: World) -> None:
    project = world.project(six='{ pypi = "*" }').with_variables(CAPE_PYPI_INDICES="pytorch-cpu")
    project.cape("lock", CAPE_GPU="cpu").failed(
        INPUT, "`pypi.indices` has `pytorch-cpu`, which is not `NAME=URL`"
    )


# -- living with variants -----------------------------------------------------------------------------


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[Project]:
    """A project whose `tool` is another Debian package where there is a GPU."""
    with world_at(tmp_path) as running:
        for name in ("tool", "tool-gpu"):
            running.archive.add(
                name, architecture="all", files={f"usr/bin/{name}": script(f"echo this is {name}")}
            )
        running.publish()
        yield running.project(
            tool='{ variants = [{ debian = "tool-gpu", when = "cuda" }, { debian = "tool", when = "cpu" }] }'
        )


def test_environment_has_what_the_machine_takes(tool: Project) -> None:
    tool.cape("sync", CAPE_GPU="cpu").succeeded()
    assert tool.cape("run", "--", "tool", CAPE_GPU="cpu").succeeded().stdout == "this is tool\n"
    again = tool.cape("run", "--gpu", "cuda", "--", "tool-gpu", CAPE_GPU="cpu").succeeded()
    assert again.stdout == "this is tool-gpu\n"
    tool.cape("sync", CAPE_GPU="cpu").succeeded()
    tool.cape("run", "--", "tool", CAPE_GPU="cpu").succeeded()


def test_changed_word_is_noticed_by_the_sealed_script_and_by_activation(tool: Project) -> None:
    """The script has the word that its environment answers; the same one again, or none, starts no Python."""
    tool.cape("sync", CAPE_GPU="cpu").succeeded()
    for word, name in (("cpu", "tool"), ("cuda12", "tool-gpu"), ("cuda12", "tool-gpu"), ("", "tool-gpu")):
        done = tool.cape("run", "--", name, CAPE_GPU=word).succeeded()
        assert done.stdout == f"this is {name}\n"
    assert "[ \"$CAPE_GPU\" = 'cuda12' ]" in (tool.directory / ".cape/current/run.sh").read_text()
    assert tool.cape("activate", "-c", "tool", CAPE_GPU="cpu").succeeded().stdout == "this is tool\n"
    assert tool.cape("activate", "-c", "tool", CAPE_GPU="").succeeded().stdout == "this is tool\n"
    tool.cape("run", "--", "tool", CAPE_GPU="tpu").failed(INPUT, "`tpu` is no accelerator")
    tool.cape("run", "--", "tool", CAPE_GPU='cpu" ] && [ "').failed(INPUT, "is no accelerator")


def test_rollback_to_another_choice_is_noticed(tool: Project) -> None:
    tool.cape("sync", CAPE_GPU="cpu").succeeded()
    tool.cape("run", "--", "tool-gpu", CAPE_GPU="cuda").succeeded()
    tool.cape("rollback", CAPE_GPU="cuda").succeeded()
    assert tool.cape("run", "--", "tool", CAPE_GPU="cpu").succeeded().stdout == "this is tool\n"
    assert tool.cape("run", "--", "tool-gpu", CAPE_GPU="cuda").succeeded().stdout == "this is tool-gpu\n"


def test_changed_word_is_noticed_for_other_environments_too(tool: Project) -> None:
    with tool.manifest.open("a") as stream:
        stream.write("\n[environments.test]\n")
    tool.cape("sync", "-e", "test", CAPE_GPU="cpu").succeeded()
    for word, name in (("cpu", "tool"), ("cuda", "tool-gpu"), ("cpu", "tool")):
        done = tool.cape("run", "-e", "test", "--", name, CAPE_GPU=word).succeeded()
        assert done.stdout == f"this is {name}\n"


def test_environment_for_elsewhere_leaves_the_project_as_it_is(tool: Project) -> None:
    tool.cape("sync", CAPE_GPU="cpu").succeeded()
    before = tool.state()
    made = Path(tool.cape("sync", "--gpu", "cuda12", CAPE_GPU="cpu").succeeded().stdout.strip())
    assert (made / "bin" / "tool-gpu").exists()
    assert not (made / "bin" / "tool").exists()
    assert tool.state() == before
    packed = tool.directory / "gpu.pack"
    tool.cape(
        "pack", "--gpu", "cuda", "-o", str(packed), "--", "tool-gpu", CAPE_GPU="cpu", timeout_s=120
    ).succeeded()
    assert packed.stat().st_size


@pytest.mark.parametrize("word", ["cuba", "cpu2", "12"])
def test_word_that_is_no_accelerator_is_refused(tool: Project, word: str) -> None:
    tool.cape("lock", CAPE_GPU="cpu").succeeded()
    tool.cape("list", "--gpu", word, CAPE_GPU="cpu").failed(STATE, f"`{word}` is no accelerator")


# -- ready environments -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ai", "rag", "serve"])
def test_ready_environment_is_a_manifest_of_its_own(tool: Project, name: str) -> None:
    from cape.manifest import read_manifest

    tool.manifest.unlink()
    tool.cape("init", "--template", name).succeeded()
    manifest = read_manifest(tool.manifest)
    assert manifest.requirements
    assert {"ai": manifest.gpu, "rag": manifest.knowledge, "serve": manifest.services}[name]


def test_unknown_ready_environment_is_refused(tool: Project) -> None:
    tool.manifest.unlink()
    tool.cape("init", "--template", "air").failed(INPUT, "there is no template `air`", "did you mean `ai`?")
    assert not tool.manifest.exists()


def test_program_for_one_command_joins_what_the_machine_takes(tool: Project) -> None:
    tool.cape("sync", CAPE_GPU="cpu").succeeded()
    done = tool.cape("run", "--with", "tool-gpu", "--", "sh", "-c", "tool; tool-gpu", CAPE_GPU="cpu")
    assert done.succeeded().stdout == "this is tool\nthis is tool-gpu\n"


def test_bill_has_what_the_machine_takes_and_an_audit_what_any_may(tool: Project) -> None:
    tool.cape("lock", CAPE_GPU="cpu").succeeded()
    names = [
        row["name"] for row in json.loads(tool.cape("sbom", CAPE_GPU="cpu").succeeded().stdout)["components"]
    ]
    assert "tool" in names
    assert "tool-gpu" not in names
    records = tool.directory / "records"
    records.mkdir()
    hole = {
        "id": "TEST-1",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "Debian:13", "name": "tool-gpu"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
    }
    (records / "TEST-1.json").write_text(json.dumps(hole))
    done = tool.cape("audit", str(records), CAPE_GPU="cpu")
    assert "tool-gpu" in done.stdout
