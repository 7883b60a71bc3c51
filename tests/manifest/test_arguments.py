"""Packages as they are named on the command line."""

from __future__ import annotations

import pytest

from cape.manifest import BadPackageArgument, PackageArgument, parse_package_argument
from cape.sources.protocol import Requirement

READ = [
    ("ripgrep", None, "ripgrep", None, ()),
    ("debian:ripgrep", "debian", "ripgrep", None, ()),
    ("g++", None, "g++", None, ()),
    ("libc6.1-dev", None, "libc6.1-dev", None, ()),
    ("postgresql@>=17", None, "postgresql", ">=17", ()),
    ("postgresql>=17", None, "postgresql", ">=17", ()),
    ("jq@1.7.1-6+b1", None, "jq", "1.7.1-6+b1", ()),
    ("pypi:pandas", "pypi", "pandas", None, ()),
    ("pypi:pandas>=2", "pypi", "pandas", ">=2", ()),
    ("pypi:pandas >=2, <3", "pypi", "pandas", ">=2, <3", ()),
    ("pypi:pandas@~=2.2", "pypi", "pandas", "~=2.2", ()),
    ("pypi:pandas==2.*", "pypi", "pandas", "==2.*", ()),
    ("pypi:pandas!=2.1", "pypi", "pandas", "!=2.1", ()),
    ("pypi:pandas[excel, aws]>=2", "pypi", "pandas", ">=2", ("excel", "aws")),
    ("npm:typescript@^5.6", "npm", "typescript", "^5.6", ()),
    ("npm:typescript@latest", "npm", "typescript", "latest", ()),
    ("npm:@types/node", "npm", "@types/node", None, ()),
    ("npm:@types/node@^22", "npm", "@types/node", "^22", ()),
    ("npm:lodash.merge@>=4 <5", "npm", "lodash.merge", ">=4 <5", ()),
]


@pytest.mark.parametrize(("text", "source", "name", "constraint", "extras"), READ)
def test_argument_is_read(
    text: str, source: str | None, name: str, constraint: str | None, extras: tuple[str, ...]
) -> None:
    assert parse_package_argument(text) == PackageArgument(
        source=source, name=name, constraint=constraint, extras=extras
    )


@pytest.mark.parametrize(
    ("text", "fact", "hint"),
    [
        ("pipy:pandas", "`pipy:pandas`: `pipy` is no source", "did you mean `pypi:`?"),
        ("conda:pandas", "`conda` is no source", "sources are `debian`, `pypi`, `npm`"),
        ("", "it names no package", ""),
        ("pypi:", "it names no package", ""),
        ("@types/node@^22", "`@types/node` is no name of a package", "a `debian` name has"),
        ("RipGrep", "`RipGrep` is no name of a package", "lower-case"),
        ("jq@", "nothing that is a constraint follows the name", "`*` allows any version"),
        ("jq[x]", "extras are for packages of `pypi`", ""),
        ("npm:a\nb@1", "nothing that is a constraint", "one line"),
    ],
)
def test_wrong_argument_is_refused(text: str, fact: str, hint: str) -> None:
    with pytest.raises(BadPackageArgument) as caught:
        parse_package_argument(text)
    assert fact in caught.value.fact
    assert hint in (caught.value.hint or "")


def test_argument_gives_a_requirement_of_the_default_source() -> None:
    assert parse_package_argument("jq").requirement() == Requirement(source="debian", name="jq", package="jq")
