"""VS Code: settings of a workspace that lead its extensions into an environment."""

from __future__ import annotations

from collections.abc import Collection

_PLACE = "${workspaceFolder}/.cape/editor/bin"

_TOOLS = {
    "ruff": ("ruff.path", True),
    "mypy": ("mypy-type-checker.path", True),
    "pylint": ("pylint.path", True),
    "flake8": ("flake8.path", True),
    "black": ("black-formatter.path", True),
    "isort": ("isort.path", True),
    "shellcheck": ("shellcheck.executablePath", False),
    "shfmt": ("shellformat.path", False),
    "clangd": ("clangd.path", False),
    "clang-format": ("clang-format.executable", False),
    "cmake": ("cmake.cmakePath", False),
    "rust-analyzer": ("rust-analyzer.server.path", False),
    "R": ("r.rterm.linux", False),
}
"""Programs that extensions start, each with the setting, and whether that is a list."""


def settings_of(programs: Collection[str], *, removing: bool = False) -> dict[str, object]:
    """The settings for an environment with these programs; with `removing`, all that ever are, as None.

    Paths begin at the workspace's folder, so that the file can be shared.
    """
    settings: dict[str, object] = {}
    if removing or "python3" in programs:
        settings["python.defaultInterpreterPath"] = f"{_PLACE}/python3"
        # The interpreter is a program that enters by itself: there is no script to source.
        settings["python.terminal.activateEnvironment"] = False
    for program, (setting, is_list) in _TOOLS.items():
        if removing or program in programs:
            settings[setting] = [f"{_PLACE}/{program}"] if is_list else f"{_PLACE}/{program}"
    return dict.fromkeys(settings) if removing else settings
