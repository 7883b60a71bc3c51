"""How many (package, version) pairs each source offers: `package_counts.py --list pypi=FILE [--write]`.

Debian's are counted: every record of the indices of the suites that `--suites` names, from this machine's
mirrors as cape reads them. Python's and npm's registries are not asked: `--list SOURCE=FILE` names a list of
their packages, one a line (comment lines start with `#`, columns are parted by tabs), and each is counted
once. As every package has at least one version, that is a lower bound. `--write` puts the table into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
ARCHITECTURES = ("amd64", "arm64")
Pair = tuple[str, str]


def debian_pairs(suite: str, cache: Path) -> set[Pair]:
    """Every package and version that a suite has with its updates and fixes, for any architecture."""
    from cape.configuration import Configuration
    from cape.sources.debian.index import Indices
    from cape.sources.debian.registry import places

    indices = Indices(places(suite, Configuration.read()), suite, cache)
    found: set[Pair] = set()
    for architecture in ARCHITECTURES:
        for _, table in indices.tables(architecture):
            names = {line.partition(b"\t")[0].decode() for line in table.summaries().split(b"\n") if line}
            for name in names:
                found |= {(name, version) for version in _versions(table.records(name))}
    return found


def _versions(records: Sequence[bytes]) -> Iterator[str]:
    for record in records:
        if match := re.search(rb"^Version: (.+)$", record, re.MULTILINE):
            yield match[1].decode()


def listed(file: Path) -> int:
    """The names in a list, each once; a first line of columns' names is none."""
    with open(file, encoding="utf-8") as lines:
        names = [line.split("\t")[0].strip().lower() for line in lines if line.strip() and line[0] != "#"]
    return len(set(names[1:] if names[:1] == ["name"] else names))


def table(suites: Sequence[str], lists: Sequence[tuple[str, Path]], cache: Path) -> str:
    """The table as the page has it."""
    rows = ["| source | packages | (package, version) pairs | how known |", "|---|---|---|---|"]
    everything: set[Pair] = set()
    for suite in suites:
        pairs = debian_pairs(suite, cache)
        everything |= pairs
        rows.append(f"| Debian `{suite}` | {_names(pairs):,} | {len(pairs):,} | counted |")
    if len(suites) > 1:
        named = " and ".join(f"`{suite}`" for suite in suites)
        rows.append(f"| Debian, {named} | {_names(everything):,} | {len(everything):,} | counted |")
    total = len(everything)
    for source, file in lists:
        number = listed(file)
        total += number
        rows.append(f"| {source} | {number:,} | at least {number:,} | a list of names; one version each |")
    rows.append(f"| all | | at least {total:,} | |")
    return "\n".join(rows)


def _names(pairs: set[Pair]) -> int:
    return len({name for name, _ in pairs})


def write(text: str) -> None:
    """Put the table where docs/benchmarks.md keeps it."""
    page = PAGE.read_text(encoding="utf-8")
    marks = r"(<!-- package counts -->\n).*?(\n<!-- end of package counts -->)"
    PAGE.write_text(
        re.sub(marks, lambda found: f"{found[1]}{text}{found[2]}", page, flags=re.DOTALL), "utf-8"
    )


def _list_of(text: str) -> tuple[str, Path]:
    source, _, file = text.partition("=")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"`{text}` is no SOURCE=FILE with a file that is there")
    return source, Path(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--suites", default="bookworm,trixie", help="Debian suites to count, parted by commas"
    )
    parser.add_argument("--list", type=_list_of, action="append", default=[], metavar="SOURCE=FILE")
    parser.add_argument("--cache", type=Path, help="where indices are kept; otherwise they are fetched anew")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cape-counts-") as name:
        text = table(arguments.suites.split(","), arguments.list, arguments.cache or Path(name))
    print(text)
    if arguments.write:
        write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
