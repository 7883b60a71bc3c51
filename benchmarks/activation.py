"""What being inside costs, beside mise, direnv, nix-shell and `uv run`, all in one run.

    .venv/bin/python benchmarks/activation.py [--write] [--rounds N]

cape installs the rivals into a scratch project. Each then has a project of its own that sets one variable
and adds a directory to PATH (`uv run` has a virtual environment without packages; nix-shell has a
derivation without inputs in a store of this user, since there is no nixpkgs, which spares it most of its
work). `--write` replaces the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
SYSTEM = {"x86_64": "x86_64-linux", "aarch64": "aarch64-linux"}[platform.machine()]
RIVALS = f"""schema = 1
[environment]
name = "rivals"
systems = ["{SYSTEM}"]
debian = "trixie"
[packages]
direnv = "*"
nix-bin = "*"
python3 = "*"
mise = {{ npm = "*", name = "@jdxcode/mise-linux-{"x64" if SYSTEM.startswith("x86") else "arm64"}" }}
uv = {{ pypi = "*" }}
"""
PROJECT = f'schema = 1\n[environment]\nname = "measured"\nsystems = ["{SYSTEM}"]\n[vars]\nMARK = "inside"\n'
HOOKED = PROJECT + '[hook]\non-activate = "export HOOKED=yes"\n'
ENDED = HOOKED + 'on-deactivate = ":"\n'
ONE_COMMAND, IN_PLACE, PROMPT, ENTRY, FIRST, LATER, LEAVING, AGAIN = (
    "one command: `true`",
    "in-shell activation",
    "unchanged prompt, outside and inside",
    "entering a directory",
    "in-shell activation that runs a hook which exports",
    "in-shell activation where somebody is inside, and the hook has run",
    "leaving",
    "in-shell activation just after leaving, with `on-deactivate` between",
)
BUDGETS = {
    ONE_COMMAND: (20.0, "p95"),
    IN_PLACE: (5.0, "median"),
    PROMPT: (0.1, "median"),
    ENTRY: (5.0, "median"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """One tool: how it runs a command, enters in place, and hooks into bash's prompt; empty: it does not."""

    name: str
    project: Path
    run: tuple[str, ...]
    enter: str = ""
    leave: str = ""
    hook: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


class Bench:
    """A scratch directory with the rivals, a home, and a project for each tool."""

    def __init__(self, place: Path) -> None:
        self.place = place
        home = place / "home"
        home.mkdir()
        self.variables = {"PATH": os.environ["PATH"], "HOME": str(home), "CAPE_STORE": str(place / "store")}
        rivals = self._directory("rivals", {"cape.toml": RIVALS})
        # Where registries are is said by variables and by files in the real home.
        self.do([str(CAPE), "sync"], rivals, **{**os.environ, "CAPE_STORE": self.variables["CAPE_STORE"]})
        self.bin = Path(os.path.realpath(rivals / ".cape/current/bin"))

    def _directory(self, name: str, files: Mapping[str, str]) -> Path:
        made = self.place / name
        (made / "bin").mkdir(parents=True)
        for file, text in files.items():
            (made / file).write_text(text)
        return made

    def do(self, words: Sequence[str], cwd: Path, **more: str) -> str:
        done = subprocess.run(
            list(words), cwd=cwd, env={**self.variables, **more}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"`{' '.join(words)}` gave {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout

    def tools(self) -> list[Tool]:
        return [self._cape(), self._mise(), self._direnv(), self._nix(), self._uv()]

    def _cape(self) -> Tool:
        return self.cape_project("cape", PROJECT)

    def cape_project(self, name: str, text: str) -> Tool:
        """A project of that name and manifest that is synced and allowed."""
        project = self._directory(name, {"cape.toml": text})
        self.do([str(CAPE), "sync"], project)
        self.do([str(CAPE), "allow"], project)
        # The first entering compares by content; a file that changed just now is compared each time.
        time.sleep(2.1)
        self.do([str(CAPE), "run", "--", "true"], project)
        os.utime(project / "cape.toml", (time.time() - 10, time.time() - 10))
        self.do([str(CAPE), "run", "--", "true"], project)
        return Tool(
            name="cape",
            project=project,
            run=(str(CAPE), "run", "--", "true"),
            enter=f'eval "$({CAPE} activate)"',
            leave="cape deactivate",
            hook=f'eval "$({CAPE} hook bash)"',
        )

    def _mise(self) -> Tool:
        text = '[env]\nMARK = "inside"\n_.path = ["./bin"]\n'
        project = self._directory("mise", {"mise.toml": text})
        program = str(self.bin / "mise")
        self.do([program, "trust"], project)
        return Tool(
            name=f"mise {self.do([program, '--version'], project).split()[0]}",
            project=project,
            run=(program, "exec", "--", "true"),
            enter=f'eval "$({program} env -s bash)"',
            leave="unset MARK; PATH=$before",
            hook=f'eval "$({program} activate bash)"',
        )

    def _direnv(self) -> Tool:
        project = self._directory("direnv", {".envrc": "export MARK=inside\nPATH_add bin\n"})
        program = str(self.bin / "direnv")
        self.do([program, "allow"], project)
        return Tool(
            name=f"direnv {self.do([program, 'version'], project).strip()}",
            project=project,
            run=(program, "exec", ".", "true"),
            enter=f'eval "$({program} export bash 2>/dev/null)"',
            leave="unset MARK ${!DIRENV_@}; PATH=$before",
            hook=f'export DIRENV_LOG_FORMAT=; eval "$({program} hook bash)"',
        )

    def _nix(self) -> Tool:
        project = self._directory("nix", {})
        places = {
            f"NIX_{name}_DIR": str(project / name.lower()) for name in ("STORE", "STATE", "CONF", "LOG")
        }
        derivation = (
            'derivation { name = "measured"; system = builtins.currentSystem; builder = "/bin/sh"; '
            'stdenv = "/nowhere"; MARK = "inside"; }'
        )
        program = str(self.bin / "nix-shell")
        version = self.do([program, "--version"], project, **places).split()[-1]
        return Tool(
            name=f"nix-shell {version}",
            project=project,
            run=(program, "-E", derivation, "--run", "true"),
            variables={**places, "NIX_BUILD_SHELL": "/bin/bash"},
        )

    def _uv(self) -> Tool:
        text = '[project]\nname = "measured"\nversion = "1"\nrequires-python = ">=3.9"\n'
        project = self._directory("uv", {"pyproject.toml": text})
        program = str(self.bin / "uv")
        python = {"UV_PYTHON": str(self.bin / "python3"), "UV_PYTHON_DOWNLOADS": "never"}
        self.do([program, "sync", "--offline"], project, **python)
        version = self.do([program, "--version"], project).split()[1]
        return Tool(
            name=f"uv run {version}",
            project=project,
            run=(program, "run", "--offline", "true"),
            enter=". .venv/bin/activate",
            leave="deactivate",
            variables=python,
        )


def one_command(bench: Bench, tool: Tool, rounds: int) -> list[float]:
    """Milliseconds of one command each, started from Python."""
    variables = {**bench.variables, **tool.variables}
    taken = []
    for _ in range(rounds + 3):
        started = time.perf_counter()
        subprocess.run(
            tool.run, cwd=tool.project, env=variables, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        taken.append((time.perf_counter() - started) * 1000)
    return taken[3:]


TIMING = """\
now() { at=${EPOCHREALTIME/[.,]/}; }
taken() { local start=$at; now; echo "$1 $((at - start))" >&3; }
before=$PATH
"""


def in_bash(bench: Bench, tool: Tool, text: str) -> dict[str, list[float]]:
    """What one interactive bash without start-up files tells: milliseconds by word."""
    script = bench.place / "measure.bash"
    script.write_text(TIMING + text)
    # Bash's own file descriptor 3 carries the numbers.
    words = ["bash", "--norc", "--noprofile", "-i", "-c", f". {script} 3>{script}.out"]
    bench.do(words, bench.place, **tool.variables)
    found: dict[str, list[float]] = {}
    for line in Path(f"{script}.out").read_text().splitlines():
        word, microseconds = line.split()
        found.setdefault(word, []).append(int(microseconds) / 1000)
    return found


def in_place(bench: Bench, tool: Tool, rounds: int) -> list[float]:
    text = f"""\
cd '{tool.project}'
for ((n = 0; n < {rounds + 3}; n++)); do
    now; {tool.enter}; taken enter
    [[ -n ${{MARK-}}${{VIRTUAL_ENV-}} ]] || exit 9
    {tool.leave}
done
"""
    return in_bash(bench, tool, text)["enter"][3:]


def by_prompt(bench: Bench, tool: Tool, rounds: int) -> dict[str, list[float]]:
    """Entering, and unchanged prompts inside and outside: all that `PROMPT_COMMAND` says is run."""
    text = f"""\
PROMPT_COMMAND=
{tool.hook}
prompt() {{ for one in "${{PROMPT_COMMAND[@]}}"; do eval "$one"; done; }}
cd '{bench.place}'; prompt
for ((n = 0; n < {rounds + 3}; n++)); do
    now; prompt; taken unchanged
    now; cd '{tool.project}'; prompt; taken entry
    [[ ${{MARK-}} == inside ]] || exit 9
    now; prompt; taken unchanged
    cd '{bench.place}'; prompt
    [[ -z ${{MARK-}} ]] || exit 8
done
"""
    found = in_bash(bench, tool, text)
    return {"entry": found["entry"][3:], "unchanged": found["unchanged"][6:]}


def with_hooks(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of entering and leaving where hooks are, by what is measured.

    Each entering with a hook is a start of its own, but for `LATER`: there another shell stays inside.
    """
    found: dict[str, list[float]] = {}
    for name, text, wanted in (("hooked", HOOKED, FIRST), ("later", HOOKED, LATER), ("ended", ENDED, AGAIN)):
        tool = bench.cape_project(name, text)
        inside = f"{CAPE} run -- sleep 60 & until [[ -e .cape/attached/$! ]]; do sleep 0.1; done; other=$!"
        script = f"""\
cd '{tool.project}'; other=
{inside if wanted == LATER else ":"}
for ((n = 0; n < {rounds + 3}; n++)); do
    now; {tool.enter}; taken enter
    [[ ${{HOOKED-}} == yes ]] || exit 9
    now; {tool.leave}; taken leave
    {"sleep 0.05" if wanted != AGAIN else ":"}
done
[[ -z $other ]] || kill $other
"""
        told = in_bash(bench, tool, script)
        found[wanted] = told["enter"][3:]
        if wanted == FIRST:
            found[LEAVING] = told["leave"][3:]
    return found


def measured(bench: Bench, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by what is measured and tool."""
    table: dict[str, dict[str, list[float]]] = {what: {} for what in BUDGETS}
    for tool in bench.tools():
        table[ONE_COMMAND][tool.name] = one_command(bench, tool, rounds)
        if tool.enter:
            name = "`.venv/bin/activate`" if tool.name.startswith("uv") else tool.name
            table[IN_PLACE][name] = in_place(bench, tool, rounds)
        if tool.hook:
            found = by_prompt(bench, tool, rounds)
            table[PROMPT][tool.name] = found["unchanged"]
            table[ENTRY][tool.name] = found["entry"]
    return table | {what: {"cape": taken} for what, taken in with_hooks(bench, rounds).items()}


def rendered(table: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    rows = ["| what | tool | median | p95 | over cape | budget |", "|---|---|---|---|---|---|"]
    for what, tools in table.items():
        own = statistics.median(tools["cape"])
        for name, taken in tools.items():
            median, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
            row = [what, name, _ms(median), _ms(p95), f"{median / own:.1f} x" if name != "cape" else ""]
            rows.append(f"| {' | '.join([*row, _budget(what, median, p95) if name == 'cape' else ''])} |")
    return "\n".join(rows) + "\n"


def _ms(value: float) -> str:
    return f"{value:.3f} ms" if value < 1 else f"{value:.1f} ms"


def _budget(what: str, median: float, p95: float) -> str:
    if what not in BUDGETS:
        return ""
    budget, which = BUDGETS[what]
    kept = (p95 if which == "p95" else median) <= budget
    return f"{budget:g} ms ({which}): {'within' if kept else 'OVER'}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--rounds", type=int, default=100, help="how often each thing is done")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        text = rendered(measured(Bench(Path(os.path.realpath(place))), arguments.rounds))
    print(text)
    if arguments.write:
        page = TOP / "docs" / "benchmarks.md"
        head, _, rest = page.read_text().partition("<!-- activation -->\n")
        _, _, tail = rest.partition("<!-- end of activation -->")
        page.write_text(f"{head}<!-- activation -->\n{text}<!-- end of activation -->{tail}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
