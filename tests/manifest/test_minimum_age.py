"""`minimum-age` as a value of the manifest: read, refused, and merged over includes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.manifest import Manifest, ManifestError, environment_of, parse_manifest
from cape.names import Age
from tests.manifest.test_includes import HEAD, composed, included

WEEK = 'minimum-age = "7 days"\n'


def read(text: str) -> Manifest:
    return parse_manifest(HEAD + text, path=Path("/at/root/cape.toml"))


def test_an_age_is_read_for_all_and_for_one() -> None:
    manifest = read(WEEK + '[packages]\na = { npm = "*", minimum-age = "2 weeks" }\n')
    assert manifest.minimum_age == Age("7 days", 7 * 86400)
    assert dict(manifest.requirements[0].options) == {"minimum-age": "2 weeks"}


@pytest.mark.parametrize("text", ["", "7", "days", "-1 days", "1.5 days", "7 months", "7 days ago"])
def test_what_is_no_age_is_refused_where_it_stands(text: str) -> None:
    with pytest.raises(ManifestError, match="is no age") as caught:
        read(f'minimum-age = "{text}"\n')
    assert caught.value.where == "/at/root/cape.toml:5:15"


def test_an_include_gives_its_age_and_a_higher_manifest_has_the_last_word() -> None:
    base = WEEK + '[packages]\nb = { pypi = "*" }\n'
    assert composed(included("../base"), base=base).minimum_age == Age.parse("7 days")
    own = composed('minimum-age = "1 day"\n' + included("../base"), base=base)
    assert own.minimum_age == Age.parse("1 day")


def test_other_environments_have_the_age_of_the_manifest() -> None:
    manifest = read(
        WEEK + '[packages]\na = { pypi = "*" }\n[environments.dev.packages]\nb = { pypi = "*" }\n'
    )
    assert environment_of(manifest, "dev").minimum_age == manifest.minimum_age
