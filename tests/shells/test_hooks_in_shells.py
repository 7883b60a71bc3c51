"""Hooks and profiles in every shell that is entered in place: once per start, its end, failing, variables."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.environment.attachments import alive
from cape.environment.shells import render_shells
from tests.environment.starts import Entered, finished, started, until
from tests.shells.random_nesting import KINDS, LANGUAGES

pytestmark = pytest.mark.network
in_all = pytest.mark.parametrize("name", KINDS)
BOTH = """\
[hook]
on-activate = 'echo run >>"$CAPE_STATE/hook"; echo to the log'
on-deactivate = 'echo end >>"$CAPE_STATE/end"'
"""


class Inside:
    """A project with hooks, and scripts of a shell in which `ENTER` enters it."""

    def __init__(self, directory: Path, words: list[str], name: str) -> None:
        self._directory, self._words, self._name = directory, words, name
        self._entered: Entered | None = None

    @property
    def entered(self) -> Entered:
        assert self._entered is not None
        return self._entered

    def write(self, text: str) -> Entered:
        self._entered = Entered(self._directory, text)
        scripts = self.entered.project / "scripts"
        for file, script in render_shells(self.entered.activation, scripts).items():
            (scripts / file).parent.mkdir(parents=True, exist_ok=True)
            (scripts / file).write_bytes(os.fsencode(script))
        return self.entered

    def starting(self, script: str) -> subprocess.Popen[str]:
        kind = KINDS[self._name]
        entering = LANGUAGES[kind].source.format(f'"{self.entered.project}/scripts/activate.{kind}"')
        plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}.get(self._name, [])
        words = [*self._words, *plain, "-c", script.replace("ENTER", entering)]
        process = started(words, self.entered.project, {"LD_LIBRARY_PATH": "/nowhere"})
        self.entered.begun.append(process)
        return process

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return finished(self.starting(script))

    def close(self) -> None:
        if self._entered is not None:
            self._entered.close()


@pytest.fixture
def inside(name: str, shells: dict[str, list[str]], tmp_path: Path) -> Iterator[Inside]:
    made = Inside(tmp_path, shells[name], name)
    yield made
    made.close()


@in_all
def test_hook_runs_once_for_all_shells_and_its_end_comes_when_the_last_has_left(inside: Inside) -> None:
    one = inside.write(BOTH)
    script = "ENTER\necho in\nread line\ncape deactivate\necho out\nread line"
    first, second = (inside.starting(script) for _ in range(2))
    for shell in (first, second):
        assert shell.stdout is not None and shell.stdout.readline() == "in\n"
    assert len(alive(one.project)) == 2
    assert one.said("hook") == ["run"]
    assert (one.project / ".cape/logs/on-activate.log").read_text() == "to the log\n"
    assert second.stdin is not None
    second.stdin.write("leave\n")
    second.stdin.flush()
    until(lambda: len(alive(one.project)) == 1)
    assert one.said("end") == []
    done = first.communicate("leave\nend\n")
    until(lambda: one.said("end"))
    assert (done[0], one.said("end"), one.said("hook")) == ("out\n", ["end"], ["run"])
    second.communicate("end\n")
    assert inside.run("ENTER\necho in").stdout == "in\n"
    until(lambda: len(one.said("end")) == 2)
    assert one.said("hook") == ["run", "run"]


@in_all
def test_failing_hook_shows_its_line_and_leaves_the_shell_as_it_was(name: str, inside: Inside) -> None:
    """No profile runs then; a shell that forgets what it was told has no state to compare."""
    kind = KINDS[name]
    language = LANGUAGES[kind]
    shown = "$status" if name == "fish" else "$?"
    one = inside.write(
        '[vars]\nMARK = "in"\n[hook]\non-activate = """\nexport A=1\ntest -d /nowhere\n"""\n'
        f"[profile]\n{kind} = 'touch profile'\n"
    )
    script = f"{language.state}\n{language.setup}\nstate before\nENTER\necho code {shown}\nstate after"
    done = inside.run(script)
    assert done.stdout.split("\n")[-2] == "code 1", done.stderr
    assert "error: the hook `on-activate` failed: cape.toml:10: test -d /nowhere (exit code 1)" in done.stderr
    before, after = (plain(one.project / file, kind) for file in ("before", "after"))
    assert before == after
    assert not (one.project / "profile").exists()
    assert alive(one.project) == ()


def plain(file: Path, kind: str) -> list[bytes]:
    from tests.shells.random_nesting import _plain

    return _plain(file, kind)


@in_all
def test_what_a_hook_exports_holds_inside_and_goes_with_leaving(inside: Inside) -> None:
    """Of PATH each shell keeps its own rest; text that a shell would run is text."""
    hook = """\
export A="it's \\"two\\"
lines" B='$(touch run)'
PATH=/hook/bin:$PATH
unset GONE
"""
    one = inside.write(f"[vars]\nGONE = \"x\"\n[hook]\non-activate = '''\n{hook}'''\n")
    show = "printenv A B PATH; printenv GONE"
    wanted = f'it\'s "two"\nlines\n$(touch run)\n/hook/bin:{one.environment}/bin:/usr/bin:/bin\n'
    first = inside.starting(f"ENTER\n{show}\nread line")
    until(lambda: len(alive(one.project)) == 1)
    later = inside.run(f"ENTER\n{show}\ncape deactivate\n{show}")
    assert later.stdout == wanted + "/usr/bin:/bin\n", later.stderr
    assert first.communicate("end\n")[0] == wanted
    assert not (one.project / "run").exists()


@in_all
def test_profiles_come_last_the_common_one_first_and_each_for_its_shell(name: str, inside: Inside) -> None:
    kind = KINDS[name]
    own = "set -g TOLD $TOLD $C profile" if name == "fish" else 'TOLD="${TOLD-} $C profile"'
    texts = dict.fromkeys(("bash", "zsh", "fish", "sh"), "touch wrong") | {kind: own}
    one = inside.write(
        '[vars]\nB = "${A}b"\nA = "a"\n[hook]\non-activate = \'export C="${B}c"\'\n[profile]\n'
        + "common = 'TOLD=common'\n"
        + "".join(f"{shell} = '{text}'\n" for shell, text in texts.items())
    )
    done = inside.run('ENTER\necho "$TOLD"\ncape deactivate\necho "$TOLD."')
    first = "" if name == "fish" else "common "
    assert (done.stdout, done.stderr) == (f"{first}abc profile\n.\n", "")
    assert not (one.project / "wrong").exists()
