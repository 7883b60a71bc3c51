from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cape.environment.activation import (
    Activation,
    Prepend,
    Reference,
    Set,
    Unset,
    UnsuitableVariable,
    activated,
    activation_of,
    parse_value,
)
from cape.environment.shells import render_bash
from cape.environment.shells.hooks import write_start
from cape.environment.shells.quoting import quoted
from cape.manifest import parse_manifest

# What any two moments of one shell differ in, or what tells which script is running.
VOLATILE = (
    "BASHPID|BASH_(ALIASES|CMDS|ARGC|ARGV|LINENO|SOURCE|COMMAND|SUBSHELL|ARGV0)|EPOCH.*|FUNCNAME|LINENO"
    "|PIPESTATUS|RANDOM|SECONDS|SRANDOM|_|OLDPWD"
)
STATE = f"""
state() {{
    {{
        declare -p | grep -v -E '^declare -[^ ]+ ({VOLATILE})(=|$)'
        declare -f; declare -F; alias -p; shopt -p; set +o; trap -p
    }} > "$1" 2>&1
}}
"""


def activation(directory: Path, name: str = "one", **changes: object) -> Activation:
    environment = directory / name / "env"
    base = Activation(
        name=name,
        project=directory / name,
        environment=environment,
        operations=(
            Set(name="CAPE_ENV", value=(str(environment),), origin="cape"),
            Set(name="CAPE_PROJECT", value=(str(directory / name),), origin="cape"),
            Prepend(name="PATH", value=str(environment / "bin"), origin="cape"),
            Unset(name="PYTHONHOME", origin="python"),
        ),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def bash(script: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = directory / "script.bash"
    file.write_text(script)
    return subprocess.run(
        ["bash", "--norc", *options, str(file)],
        capture_output=True,
        text=True,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "PYTHONHOME": "/nowhere"},
        check=False,
        timeout=60,
    )


def sourced(directory: Path, *activations: Activation) -> list[str]:
    lines = []
    for number, one in enumerate(activations):
        write_start(one)
        script = directory / f"activate{number}.bash"
        script.write_text(render_bash(one))
        lines.append(f". {quoted(str(script))}")
    return lines


def assert_nothing_left(directory: Path, before: str, entering: list[str], *options: str) -> None:
    leave = ["cape deactivate"] * len(entering)
    script = "\n".join([STATE, before, "state before", *entering, "state inside", *leave, "state after"])
    done = bash(script, directory, *options)
    assert done.returncode == 0, done.stderr
    assert (directory / "before").read_text() == (directory / "after").read_text()
    assert (directory / "before").read_text() != (directory / "inside").read_text()


def test_values_have_references_in_both_forms() -> None:
    assert parse_value("a$B-${C}d") == ("a", Reference("B"), "-", Reference("C"), "d")
    assert parse_value("$ 5 ${x-y} $9") == ("$ 5 ${x-y} $9",)


def test_variables_of_the_shell_cannot_be_set(tmp_path: Path) -> None:
    manifest = parse_manifest(
        'schema = 1\n[environment]\nname = "x"\nsystems = ["x86_64-linux"]\n[vars]\nBASH_ENV = "y"\n',
        path=tmp_path / "cape.toml",
    )
    with pytest.raises(UnsuitableVariable, match="BASH_ENV"):
        activation_of(manifest, tmp_path / "env", tmp_path)


def test_a_process_inside_has_the_variables_in_order(tmp_path: Path) -> None:
    one = activation(tmp_path)
    more = (*one.operations, Set(name="URL", value=("at ", Reference("CAPE_ENV")), origin="vars"))
    inside = activated(replace(one, operations=more), {"PATH": "/usr/bin", "PYTHONHOME": "x", "KEPT": "k"})
    assert inside["PATH"] == f"{one.environment}/bin:/usr/bin"
    assert inside["URL"] == f"at {one.environment}"
    assert inside["KEPT"] == "k"
    assert "PYTHONHOME" not in inside


def test_a_pure_process_is_not_led_to_the_host(tmp_path: Path) -> None:
    outside = {"PATH": "/usr/bin", "HOME": "/h", "LD_PRELOAD": "x.so", "PYTHONPATH": "/p", "MINE": "m"}
    inside = activated(activation(tmp_path), outside, pure=True)
    assert (inside["HOME"], inside["MINE"]) == ("/h", "m")
    assert not {"LD_PRELOAD", "PYTHONPATH"} & set(inside)
    assert "/usr/bin" not in inside["PATH"].split(":")
    assert f"{tmp_path}/one/env/root/usr/bin" in inside["PATH"].split(":")


def test_bash_is_as_before_after_leaving(tmp_path: Path) -> None:
    before = "export PS1='$ '\nFOO=bar\ncape() { echo mine; }\nexport CAPE_ENV"
    assert_nothing_left(tmp_path, before, sourced(tmp_path, activation(tmp_path)))


@pytest.mark.parametrize("options", [("-e",), ("-u",), ("-f",), ("-o", "posix"), ("-e", "-u", "-f")])
def test_bash_is_as_before_whatever_its_options(tmp_path: Path, options: tuple[str, ...]) -> None:
    before = "shopt -s nullglob nocasematch\nIFS=:/"
    one, two = activation(tmp_path), activation(tmp_path, "two")
    assert_nothing_left(tmp_path, before, sourced(tmp_path, one, two), *options)


def test_leaving_undoes_what_a_profile_did(tmp_path: Path) -> None:
    profile = "\n".join(
        [
            "alias g=git ll='ls -l'", "greet() { echo hi; }", "taken() { echo new; }",
            "declare -A table=([a]=1)", "shopt -s extglob", "set -o noglob",
            "VALUE+=more", "unset GONE", "export -f taken", "PS1='new '",
        ]
    )  # fmt: skip
    before = "\n".join(
        [
            "alias ll='ls' old=x", "taken() { echo old; }", "kept() { cat <<E\n}\nE\n}", "export -f kept",
            "declare -i VALUE=3", "GONE=(1 2)", "PS1='$ '", "shopt -s expand_aliases",
        ]
    )  # fmt: skip
    one = activation(tmp_path, profile={"common": profile, "bash": "alias extra=1"})
    assert_nothing_left(tmp_path, before, sourced(tmp_path, one, activation(tmp_path, "two")))


def test_the_innermost_activation_is_left_first(tmp_path: Path) -> None:
    entering = sourced(tmp_path, activation(tmp_path), activation(tmp_path, "two"))
    done = bash("\n".join([*entering, "echo $CAPE_PROJECT; cape deactivate; echo $CAPE_PROJECT"]), tmp_path)
    assert done.stdout.split() == [f"{tmp_path}/two", f"{tmp_path}/one"]


def test_entering_a_project_again_makes_no_second_frame(tmp_path: Path) -> None:
    entering = sourced(tmp_path, activation(tmp_path)) * 3
    done = bash("\n".join([*entering, "cape deactivate; echo ${CAPE_ENV-none} $PATH"]), tmp_path)
    assert done.stdout.split() == ["none", "/usr/bin:/bin"]


def test_what_the_user_added_to_path_inside_stays_after_leaving(tmp_path: Path) -> None:
    entering = sourced(tmp_path, activation(tmp_path))
    done = bash("\n".join([*entering, "PATH=/mine:$PATH:/other; cape deactivate; echo $PATH"]), tmp_path)
    assert done.stdout.strip() == "/mine:/usr/bin:/bin:/other"


def test_read_only_variables_stay_and_are_named(tmp_path: Path) -> None:
    entering = sourced(tmp_path, activation(tmp_path))
    done = bash("\n".join(["readonly CAPE_ENV=x", *entering, "echo $CAPE_ENV; cape deactivate"]), tmp_path)
    assert done.stdout.strip() == "x"
    assert "`CAPE_ENV` is read-only" in done.stderr


def test_a_failing_hook_leaves_the_shell_as_it_was(tmp_path: Path) -> None:
    entering = sourced(tmp_path, activation(tmp_path, hook="echo said; exit 3"))
    script = [STATE, "state before", *entering, "echo $?", "state after"]
    done = bash("\n".join(script), tmp_path)
    assert done.stdout.split() == ["1"], "a hook's output does not go to standard output"
    assert "said" in done.stderr and "exit code 3" in done.stderr
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


names = st.sampled_from(["A", "B", "PATH", "LIST", "COUNT", "TABLE", "PS1", "EMPTY", "NEVER"])
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=12
) | st.sampled_from(["$(touch pwned)", "`touch pwned`", "'; touch pwned; '", '"$HOME"', "a[$(touch pwned)]"])
operations = st.one_of(
    st.builds(lambda n, v: Set(name=n, value=parse_value(v), origin="t"), names, texts),
    st.builds(lambda n, v: Set(name=n, value=(v,), origin="t"), names, texts),
    st.builds(lambda n: Unset(name=n, origin="t"), names),
    st.builds(lambda n, v: Prepend(name=n, value=v, origin="t"), names, texts.filter(bool)),
)
DECLARED = r"""
A=plain; export B='exported $x'; LIST=(one 'two three'); declare -i COUNT=7; declare -A TABLE=([k]='v w')
PS1='\u $ '; export EMPTY
"""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.lists(operations, max_size=5), second=st.lists(operations, max_size=5))
def test_nested_activations_leave_no_trace(tmp_path: Path, first: list[Set], second: list[Set]) -> None:
    """Whatever is set, unset and prepended: the shell's state is byte for byte what it was."""
    one, two = activation(tmp_path), activation(tmp_path, "two")
    one = replace(one, operations=(*one.operations, *first))
    two = replace(two, operations=(*two.operations, *second))
    assert_nothing_left(tmp_path, DECLARED, sourced(tmp_path, one, two))
    assert not (tmp_path / "pwned").exists()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(texts, min_size=1, max_size=4))
def test_bash_and_python_agree_on_every_value(tmp_path: Path, values: list[str]) -> None:
    extra = tuple(Set(name=f"V{n}", value=parse_value(v), origin="t") for n, v in enumerate(values))
    one = replace(activation(tmp_path), operations=(*activation(tmp_path).operations, *extra))
    show = [f'printf "%s\\0" "$V{n}"' for n in range(len(values))]
    done = bash("\n".join([*sourced(tmp_path, one), *show]), tmp_path)
    inside = activated(one, {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert done.stdout == "".join(inside[f"V{n}"] + "\0" for n in range(len(values)))
