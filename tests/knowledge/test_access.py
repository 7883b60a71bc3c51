"""Who sees what: the first rule that fits, groups of users, and errors that name the line and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.knowledge.access import (
    OPEN_POLICY,
    AccessPolicy,
    AccessPolicyMissing,
    AccessRule,
    BadAccessPolicy,
    UnknownUser,
    parse_access,
    read_access,
)

TEXT = """\
default = "everyone"            # who sees a document that no rule names
[users]
astrid = ["hr", "managers"]
jonas  = ["sales"]

[[rules]]
documents = ["documents/hr/open.md"]
groups = ["everyone"]

[[rules]]
documents = ["documents/hr/**", "*.secret"]
groups = ["hr"]
"""


def test_the_first_rule_that_fits_decides() -> None:
    policy = parse_access(TEXT)
    assert policy.groups_of_document("documents/hr/open.md") == {"everyone"}
    assert policy.groups_of_document("documents/hr/deep/down/pay.md") == {"hr"}
    assert policy.groups_of_document("documents/sales/list.md") == {"everyone"}


def test_without_a_default_nobody_sees_what_no_rule_names() -> None:
    assert parse_access("").groups_of_document("any.md") == frozenset()


def test_every_asker_is_in_everyone() -> None:
    policy = parse_access(TEXT)
    assert policy.groups_of_user("astrid") == {"hr", "managers", "everyone"}
    assert policy.groups_of_user(None) == {"everyone"}


def test_an_unknown_user_is_told_near_names_only() -> None:
    policy = parse_access(TEXT, path="access.toml")
    with pytest.raises(UnknownUser, match="there is no user `astird`") as caught:
        policy.groups_of_user("astird")
    assert caught.value.hint == "did you mean `astrid`?"
    with pytest.raises(UnknownUser) as far:
        policy.groups_of_user("zzz")
    assert "astrid" not in f"{far.value}{far.value.hint}" and "jonas" not in f"{far.value}{far.value.hint}"


def test_a_base_without_a_policy_has_no_users_and_hides_nothing() -> None:
    assert OPEN_POLICY.groups_of_document("x.md") == {"everyone"}
    with pytest.raises(UnknownUser) as caught:
        OPEN_POLICY.groups_of_user("astrid")
    assert "no access policy" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("docs/*.md", ["docs/a.md"], ["docs/b/a.md", "docs/a.mdx", "x/docs/a.md"]),
        ("docs/**", ["docs/a.md", "docs/b/c/a.md"], ["docs", "docsx/a.md"]),
        ("docs/", ["docs/a.md"], ["docs"]),
        ("**/hr/*", ["hr/a", "x/y/hr/a"], ["hr/b/a"]),
        ("a?c.[ch]", ["abc.c", "axc.h"], ["ac.c", "abc.d", "a/c.c"]),
        ("**", ["a", "a/b"], []),
        ("a.b", ["a.b"], ["aXb"]),
    ],
)
def test_patterns_stay_within_a_name_unless_doubled(
    pattern: str, fits: list[str], fits_not: list[str]
) -> None:
    policy = parse_access(f'[[rules]]\ndocuments = ["{pattern}"]\ngroups = ["g"]\n')
    assert all(policy.groups_of_document(path) == {"g"} for path in fits)
    assert not any(policy.groups_of_document(path) for path in fits_not)


@pytest.mark.parametrize(
    ("text", "line", "fact"),
    [
        ("default = [\n", 2, "is no TOML"),
        ('\ndefault = "some"\n', 2, "may be `everyone` or `nobody`"),
        ('[user]\na = ["x"]\n', 1, "unknown key `user`"),
        ('[users]\na = ["x"]\nb = "x"\n', 3, "the groups of the user `b` are no list"),
        (
            '[[rules]]\ndocuments = ["a"]\ngroups = ["g"]\n\n[[rules]]\ngroups = ["g"]\n',
            5,
            "rule 2 has no `documents`",
        ),
        ('[[rules]]\ndocuments = []\ngroups = ["g"]\n', 1, "is no list of patterns"),
        ('[[rules]]\ndocuments = ["a"]\ngroup = ["g"]\n', 1, "unknown key `group`"),
        ("users = 3\n", 1, "`users` is no table"),
        ("rules = 3\n", 1, "`rules` is no list of tables"),
    ],
)
def test_a_bad_policy_is_refused_with_its_line(text: str, line: int, fact: str) -> None:
    with pytest.raises(BadAccessPolicy) as caught:
        parse_access(text, path="access.toml")
    assert fact in caught.value.fact
    assert caught.value.where == f"access.toml:{line}"


def test_a_missing_policy_is_an_error_and_not_everyone(tmp_path: Path) -> None:
    with pytest.raises(AccessPolicyMissing):
        read_access(tmp_path / "access.toml")


def test_the_digest_is_of_the_meaning() -> None:
    other = TEXT.replace('"hr", "managers"', '"managers", "hr"').replace("# who", "# WHO")
    assert parse_access(TEXT).digest == parse_access(other, path="elsewhere.toml").digest
    assert parse_access(TEXT).digest != parse_access(TEXT.replace('"sales"', '"hr"')).digest


NAMES = st.text(st.sampled_from("abc"), min_size=1, max_size=3)


@given(st.dictionaries(NAMES, st.frozensets(NAMES)), st.frozensets(NAMES))
def test_a_policy_survives_being_kept(users: dict[str, frozenset[str]], default: frozenset[str]) -> None:
    policy = AccessPolicy(users=users, default=default, path="")
    assert AccessPolicy.from_json(policy.to_json()) == policy


PATHS = st.lists(st.text(st.sampled_from("ab/."), max_size=6), max_size=8)
PATTERNS = st.lists(
    st.sampled_from(["a*", "**/b", "a/**", "?", "[ab]", "**", "a/", "*.a"]), min_size=1, max_size=3
)


@given(PATHS, st.lists(st.tuples(PATTERNS, NAMES), max_size=4))
def test_many_documents_are_judged_as_one_by_one(
    paths: list[str], rules: list[tuple[list[str], str]]
) -> None:
    policy = AccessPolicy(
        rules=tuple(
            AccessRule(documents=tuple(patterns), groups=frozenset({name})) for patterns, name in rules
        ),
        default=frozenset({"default"}),
    )
    assert policy.groups_of_documents(paths) == [policy.groups_of_document(path) for path in paths]
