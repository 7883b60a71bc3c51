"""The rooms of the house and the doors between them: imports go one way, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"

# What each room may import of ours, besides itself and `errors`, `names`, `configuration`.
FOUNDATION = {"errors", "names"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "names": {"errors"},
    "configuration": FOUNDATION,
    "sources.protocol": FOUNDATION,
    "sources.reach": FOUNDATION | {"configuration", "sources.protocol"},
    "sources.connections": FOUNDATION | {"sources.reach", "configuration", "sources.protocol"},
    "sources.side_by_side": FOUNDATION | {"sources.connections"},
    "sources.download": FOUNDATION
    | {
        "sources.reach",
        "configuration",
        "sources.protocol",
        "sources.connections",
        "sources.side_by_side",
    },
    "sources.streaming": FOUNDATION
    | {"sources.reach", "sources.protocol", "sources.connections", "sources.download"},
    "sources.contract": FOUNDATION | {"sources.protocol"},
    "sources.tools": FOUNDATION,
    "sources.debian": FOUNDATION
    | {"sources.reach", "configuration", "sources.protocol", "sources.download", "sources.tools"},
    "sources.pypi": FOUNDATION
    | {"sources.reach", "configuration", "sources.protocol", "sources.download", "sources.tools"},
    "sources.npm": FOUNDATION
    | {
        "sources.reach",
        "configuration",
        "sources.protocol",
        "sources.download",
        "sources.pypi",
        "sources.tools",
    },
    "sources.models": FOUNDATION
    | {
        "sources.reach",
        "configuration",
        "sources.protocol",
        "sources.connections",
        "sources.download",
        "sources.streaming",
        "sources.pypi",
        "models",
    },
    "sources.builds": FOUNDATION | {"sources.protocol", "building"},
    "sources.interpreters": FOUNDATION
    | {"sources.download", "sources.protocol", "sources.pypi", "sources.tools"},
    "manifest": FOUNDATION | {"sources.protocol", "accelerators"},
    "lock": FOUNDATION | {"sources.protocol", "manifest", "accelerators"},
    "store": FOUNDATION | {"configuration", "sources.protocol"},
    "environment": FOUNDATION | {"sources.protocol", "manifest", "lock", "store"},
    "analysis": FOUNDATION | {"sources.protocol", "manifest", "lock", "environment"},
    "adoption": FOUNDATION,
    "models": FOUNDATION,
    "fitting": FOUNDATION | {"models"},
    "editors": FOUNDATION,
    "knowledge": FOUNDATION,
    "engines": FOUNDATION | {"knowledge", "answers"},
    "answers": FOUNDATION | {"knowledge"},
    "figures": FOUNDATION | {"knowledge", "answers"},
    "evaluation": FOUNDATION | {"knowledge", "answers"},
    "building": FOUNDATION,
    "accelerators": FOUNDATION,
    "services": FOUNDATION | {"manifest"},
    "serving": set(),
    "packing": FOUNDATION | {"sources.protocol", "manifest", "store", "environment"},
    "submitting": FOUNDATION,
    "sharing": FOUNDATION
    | {"sources.reach", "configuration", "sources.protocol", "sources.download", "store"},
}
BELOW_OPERATIONS = set(ALLOWED)
ALLOWED["operations"] = BELOW_OPERATIONS
ALLOWED["cli"] = {"operations", *BELOW_OPERATIONS}


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE / "cape").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str | None:
    """The room that a module lies in; None for the package's own head and `__main__`."""
    parts = module.split(".")
    if parts[0] == "sources" and len(parts) > 1:
        return ".".join(parts[:2])
    return parts[0] if parts[0] in {name.split(".")[0] for name in ALLOWED} else None


def imports_of(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: imports are absolute"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("cape.") for name in found if name.startswith("cape.")}


def edges() -> set[tuple[str, str, str]]:
    found = set()
    for file in sorted((SOURCE / "cape").rglob("*.py")):
        module = module_name(file)
        room = room_of(module)
        if room is None or room == "sources":
            continue
        for target in imports_of(file):
            other = room_of(target)
            if other is not None and other != room and other != "sources":
                found.add((room, other, module))
    return found


def test_imports_go_one_way() -> None:
    wrong = [
        f"cape.{module} ({room}) imports {other}"
        for room, other, module in sorted(edges())
        if other not in ALLOWED[room]
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_form_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for room, other, _ in edges():
        graph.setdefault(room, set()).add(other)

    def visit(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, " -> ".join((*path, room))
        for other in graph.get(room, ()):
            visit(other, (*path, room))

    for room in graph:
        visit(room, ())


def test_every_package_says_what_it_owns() -> None:
    silent = [
        str(file.relative_to(SOURCE))
        for file in (SOURCE / "cape").rglob("__init__.py")
        if not (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").strip()
    ]
    assert not silent, f"packages without a head docstring: {silent}"


def test_no_room_is_called_utils() -> None:
    names = {file.stem for file in (SOURCE / "cape").rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "misc", "manager"}
