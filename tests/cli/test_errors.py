"""The error tree: every class has a slug, a docstring, and the exit code of its branch."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

import cape.errors
from cape.errors import CapeError, InputError, IntegrityError, SourceError, StateError, UsageError

TRUNK = (InputError, StateError, UsageError, IntegrityError, SourceError)


def generator() -> ModuleType:
    """`docs/generate.py` as a module."""
    path = Path(__file__).parents[2] / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


CLASSES = [one for one in generator().error_classes() if one.__module__.startswith("cape.")]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_class_has_a_slug_of_its_own_a_docstring_and_one_branch(error: type[CapeError]) -> None:
    assert "slug" in vars(error), "a class says its own slug"
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.slug)
    assert "__doc__" in vars(error) and (inspect.getdoc(error) or "").endswith((".", "`"))
    if not error.__name__.startswith("_"):
        assert sum(issubclass(error, branch) for branch in TRUNK) == 1


def test_a_slug_stands_for_one_kind_of_error() -> None:
    """Rooms that may not import each other may share a slug; scripts must be able to treat it as one."""
    kinds = defaultdict(set)
    for error in CLASSES:
        kinds[error.slug].add((error.__mro__[-4] if error in TRUNK else branch_of(error), error.exit_code))
    assert not {slug: found for slug, found in kinds.items() if len(found) > 1}


def branch_of(error: type[CapeError]) -> type[CapeError] | None:
    return next((branch for branch in TRUNK if issubclass(error, branch)), None)


def test_the_tree_that_errors_py_draws_holds() -> None:
    drawn = re.findall(r"[├└]── (\w+)\s+(\d+)", cape.errors.__doc__ or "")
    assert drawn == [
        (branch.__name__, str(branch.exit_code)) for branch in sorted(TRUNK, key=lambda one: one.exit_code)
    ]


def test_no_class_changes_the_exit_code_of_its_branch() -> None:
    changed = [error for error in CLASSES if error not in TRUNK and "exit_code" in vars(error)]
    assert not changed


def test_facts_have_no_full_stop_and_start_with_the_thing() -> None:
    """Messages are written where they are raised: no text of theirs ends with a full stop or an `!`."""
    source = Path(cape.errors.__file__).parent
    wrong = []
    for file in source.rglob("*.py"):
        for text in re.findall(r'raise [A-Z]\w+\(\s*f?"((?:[^"\\]|\\.)*)"[,)\s]', file.read_text("utf-8")):
            if re.search(r"[.!]$", text) or re.match(r"(?i)(error|failed|invalid|please)\b", text):
                wrong.append(f"{file.name}: {text}")
    assert not wrong, "\n".join(wrong)
