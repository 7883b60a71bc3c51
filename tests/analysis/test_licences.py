"""Licences as packages state them."""

from __future__ import annotations

from email.parser import HeaderParser

import pytest

from cape.analysis.licences import licence_of_copyright, licence_of_metadata

MACHINE_READABLE = """\
Format: https://www.debian.invalid/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: x

Files: *
Copyright: 2020 Somebody
License: GPL-2+ or Artistic

Files: lib/*
Copyright: 2021 Another
License: BSD-3-clause
 Redistribution and use ...

License: GPL-2+ or Artistic
 On Debian systems ...
"""


def test_every_licence_of_a_machine_readable_file_is_named_once() -> None:
    assert licence_of_copyright(MACHINE_READABLE) == "BSD-3-clause AND (GPL-2+ or Artistic)"


def test_prose_is_searched_for_common_licences_and_free_text_states_none() -> None:
    prose = (
        "On Debian systems, see /usr/share/common-licenses/GPL-2. and /usr/share/common-licenses/LGPL-2.1.\n"
    )
    assert licence_of_copyright(prose) == "GPL-2 AND LGPL-2.1"
    assert licence_of_copyright("You may do as you like.\n") is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("License-Expression: MIT\nLicense: whole text", "MIT"),
        ("Classifier: License :: OSI Approved :: BSD License\nClassifier: Topic :: X", "BSD License"),
        ("License: Apache 2.0", "Apache 2.0"),
        ("License:", None),
        ("Name: x", None),
    ],
)
def test_metadata_of_a_wheel_states_a_licence_in_three_ways(headers: str, expected: str | None) -> None:
    assert licence_of_metadata(HeaderParser().parsestr(headers + "\n\n")) == expected
