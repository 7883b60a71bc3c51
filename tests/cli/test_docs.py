"""The pages hold: generated ones are fresh, commands in them are declared, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cape.cli.declarations import COMMANDS, GLOBAL, VARIABLES
from cape.cli.main import parse
from cape.configuration import SETTINGS
from cape.errors import UsageError
from tests.cli.test_errors import CLASSES, generator

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
PAGES = sorted(
    [TOP / "README.md", TOP / "CHANGELOG.md", TOP / "examples/handbook/README.md", *DOCS.rglob("*.md")]
)
NAMES = [str(page.relative_to(TOP)) for page in PAGES]
INTERNAL = {"CAPE_SCRIPT", "CAPE_PACK", "CAPE_PACK_PROGRAM"}


@pytest.mark.parametrize("name", ["commands.md", "errors.md", "settings.md"])
def test_generated_page_is_fresh(name: str) -> None:
    page = DOCS / "reference" / name
    assert page.read_text() == generator().pages()[page], "run `.venv/bin/python docs/generate.py`"


def test_every_command_and_flag_is_documented() -> None:
    page = (DOCS / "reference" / "commands.md").read_text()
    for command in COMMANDS:
        part = page.partition(f"## `cape {command.name}`\n")[2].partition("\n## ")[0]
        assert command.description in part
        for argument in command.arguments:
            for flag in argument.flags:
                assert f"`{flag.upper() if argument.is_positional else flag}" in part
    assert all(f"`{flag}" in page for argument in GLOBAL for flag in argument.flags)


def test_every_setting_variable_and_slug_is_documented() -> None:
    settings = (DOCS / "reference" / "settings.md").read_text()
    for setting in SETTINGS:
        assert f"| `{setting.key}` | `${setting.variable}` |" in settings
    assert all(f"| `{variable.name}` |" in settings for variable in VARIABLES)
    errors = (DOCS / "reference" / "errors.md").read_text()
    public = [error.slug for error in CLASSES if not error.__name__.startswith("_")]
    assert not [slug for slug in public if f"`{slug}`" not in errors]


def test_every_variable_that_the_code_names_is_declared() -> None:
    """C macros begin like variables; only quoted names count there."""
    named = set()
    for file in [*(TOP / "src").rglob("*.py"), TOP / "src/launcher/cape"]:
        named |= set(re.findall(r"\bCAPE_[A-Z][A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8")))
    for file in (TOP / "src/redirect").glob("*.c"):
        named |= set(re.findall(r'"(CAPE_[A-Z_]+)[="]', file.read_text(encoding="utf-8")))
    declared = {setting.variable for setting in SETTINGS} | {variable.name for variable in VARIABLES}
    assert named <= declared | INTERNAL, named - declared


def commands_of(text: str) -> list[list[str]]:
    """The words of every command line of cape in code blocks and code spans."""
    lines = []
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, flags=re.DOTALL):
        lines += [
            line.removeprefix("$ ") for line in block.splitlines() if re.match(r"(\$ )?(eval|cape)\b", line)
        ]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines += re.findall(r"`((?:cape|eval) [^`]*)`", text)
    lines += [line[len('eval "$(') : -len(')"')] for line in lines if line.startswith("eval")]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("cape")]


def test_readme_shows_commands() -> None:
    assert len(commands_of((TOP / "README.md").read_text(encoding="utf-8"))) > 12


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_the_page_are_declared(page: Path) -> None:
    for _, *words in commands_of(page.read_text(encoding="utf-8")):
        if not words or set(words) & {"--help", "--version", "COMMAND"}:
            continue
        try:
            until = words.index("|") if "|" in words else len(words)  # the rest is another program's
            parse([word for word in words[:until] if not re.fullmatch(r"\[.*\]|>.*", word)])
        except UsageError as error:
            # A sentence may name a command without its arguments.
            assert "wants" in str(error), f"{page.name}: `cape {' '.join(words)}`: {error}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_of_the_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        place, _, anchor = target.partition("#")
        file = (page.parent / place) if place else page
        assert file.exists(), f"{page.name} links to `{target}`"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.name} links to `{target}`"


def anchors(page: Path) -> set[str]:
    """The names that headings of a page get."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.rglob("*.md"):
        if page.name != "README.md":
            assert str(page.relative_to(DOCS)) in index, f"docs/README.md does not name {page.name}"


def test_pages_name_no_host_and_no_path_of_a_machine() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(
            r"https?://(?!(?:127\.0\.0\.1|localhost|\S*\.example\b|\S*example\.(?:com|org)))\S+", text
        )
        assert not re.findall(r"(?<![\w.])/(?:root|work)/\S*", text), page.name
