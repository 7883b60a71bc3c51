"""What the redirecting library costs `git status` of a 50,000-file tree.

The environment's own git runs twice, in turns: as it is, and from a copy of the environment (hard links)
whose redirecting library is an empty one. Needs a C compiler for the empty library.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
FILES = 50_000
ROUNDS = 25
MANIFEST = (
    'schema = 1\n[environment]\nname = "git"\nsystems = ["{}"]\ndebian = "trixie"\n[packages]\ngit = "*"\n'
)


def make_tree(directory: Path, git: Path) -> None:
    for number in range(FILES):
        place = directory / f"d{number // 100:03}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").touch()
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "all"]):
        subprocess.run([git, *words], cwd=directory, check=True)


def without_library(environment: Path, directory: Path) -> Path:
    """A copy of the environment whose redirecting library does nothing."""
    copy = directory / "copy"
    subprocess.run(["cp", "-al", environment, copy], check=True)
    library = copy / "root" / "usr" / "lib" / "libcape-redirect.so"
    library.unlink()
    words = ["cc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", library]
    subprocess.run(words, check=True)
    return copy


def seconds(git: Path, tree: Path) -> float:
    variables = {**os.environ, "GIT_EXEC_PATH": str(git.parent.parent / "lib" / "git-core")}
    started = time.perf_counter()
    words = [git, "status", "--short"]
    subprocess.run(words, cwd=tree, env=variables, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cape-git-") as name:
        directory = Path(name)
        project, tree = directory / "project", directory / "tree"
        project.mkdir()
        tree.mkdir()
        finder = "from cape.names import System; print(System.current())"
        system = subprocess.check_output([sys.executable, "-c", finder], text=True).strip()
        (project / "cape.toml").write_text(MANIFEST.format(system))
        variables = {**os.environ, "CAPE_STORE": str(directory / "store")}
        words = [CAPE, "run", "--", "sh", "-c", "echo $CAPE_ENV"]
        output = subprocess.check_output(
            words, cwd=project, env=variables, text=True, stderr=subprocess.DEVNULL
        )
        environment = Path(output.splitlines()[-1])
        bare = without_library(environment, directory)
        programs = [place / "root" / "usr" / "bin" / "git" for place in (environment, bare)]
        make_tree(tree, programs[0])
        rounds = [[seconds(git, tree) for git in programs] for _ in range(ROUNDS)]
        redirected, plain = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"git status of {FILES:,} files: {plain * 1e3:.1f} ms without, {redirected * 1e3:.1f} ms with")
        print(f"the redirecting library adds {100 * (redirected / plain - 1):.1f} % (budget 3 %)")
        subprocess.run(["chmod", "-R", "u+w", directory], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
