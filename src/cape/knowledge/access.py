"""Who may see which document: `access.toml` as a value.

Owns reading that file and its rules. It knows no index and no identity: who an asker is, is said by the
caller. A user's groups, and a document's, are sets of names; a document is seen by whoever shares one.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cape.errors import InputError, StateError
from cape.knowledge.protocol import EVERYONE
from cape.names import Digest, nearest

NOBODY = "nobody"
"""The default of a document that no rule names: no group sees it."""


class BadAccessPolicy(InputError):
    """`access.toml` is not what cape reads."""

    slug = "bad-access-policy"


class AccessPolicyMissing(StateError):
    """The manifest names an access policy that is not there, or cannot be read."""

    slug = "access-policy-missing"


class UnknownUser(InputError):
    """A name that the access policy does not list as a user."""

    slug = "unknown-user"


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessRule:
    """Documents by patterns, relative to the project, and the groups that see them; none: nobody does."""

    documents: tuple[str, ...]
    groups: frozenset[str]

    def fits(self, path: str) -> bool:
        """Whether one of the patterns fits a document's path."""
        return any(_compiled(pattern).match(path) for pattern in self.documents)


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessPolicy:
    """Who may see what. The first rule that fits a document decides; `default` where none does."""

    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rules: tuple[AccessRule, ...] = ()
    default: frozenset[str] = frozenset()
    path: str = "access.toml"

    @property
    def digest(self) -> Digest:
        """Of what the policy means: comments, the order of names, and the file's path are not in it."""
        return Digest.of_lines([json.dumps(self.to_json(), sort_keys=True)])

    def to_json(self) -> dict[str, object]:
        """What the policy means, as JSON values."""
        return {
            "users": {name: sorted(groups) for name, groups in sorted(self.users.items())},
            "rules": [[list(rule.documents), sorted(rule.groups)] for rule in self.rules],
            "default": sorted(self.default),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> AccessPolicy:
        """The policy of `to_json`'s values."""
        return cls(
            users={name: frozenset(groups) for name, groups in fields["users"].items()},
            rules=tuple(
                AccessRule(documents=tuple(documents), groups=frozenset(groups))
                for documents, groups in fields["rules"]
            ),
            default=frozenset(fields["default"]),
            path="",
        )

    def groups_of_document(self, path: str) -> frozenset[str]:
        """The groups that see a document; empty: nobody does."""
        return next((rule.groups for rule in self.rules if rule.fits(path)), self.default)

    def groups_of_documents(self, paths: Iterable[str]) -> list[frozenset[str]]:
        """`groups_of_document` of each path, for many: all rules are asked at once."""
        if not self.rules:
            return [self.default for _ in paths]
        alternatives = [
            "|".join(_compiled(pattern).pattern for pattern in rule.documents) for rule in self.rules
        ]
        first = re.compile("|".join(f"({one})" for one in alternatives), re.DOTALL).match
        # Alternatives are tried in order and all end at the path's end, so the first rule that fits wins.
        groups = [self.default, *(rule.groups for rule in self.rules)]
        return [groups[found.lastindex or 0] if (found := first(path)) else self.default for path in paths]

    def groups_of_user(self, user: str | None) -> frozenset[str]:
        """The groups of an asker: `everyone`, and those of a user by that name.

        Raises `UnknownUser`; its hint names users only that are spelled nearly so.
        """
        if user is None:
            return frozenset({EVERYONE})
        if user not in self.users:
            raise UnknownUser(
                f"there is no user `{user}`", where=self.path or None, hint=self._hint_for(user)
            )
        return self.users[user] | {EVERYONE}

    def _hint_for(self, user: str) -> str:
        if not self.path:
            return "this knowledge base has no access policy, and so no users: everyone sees all of it"
        close = nearest(user, self.users, limit=1)
        return f"did you mean `{close[0]}`?" if close else f"users are listed in `[users]` of `{self.path}`"


OPEN_POLICY = AccessPolicy(default=frozenset({EVERYONE}), path="")
"""The policy of a knowledge base whose manifest names none: everyone sees all, and there are no users."""


def read_access(path: Path) -> AccessPolicy:
    """The policy in a file. Raises `AccessPolicyMissing`, `BadAccessPolicy`."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadAccessPolicy("the access policy is not UTF-8", where=str(path)) from error
    except OSError as error:
        raise AccessPolicyMissing(
            f"the access policy cannot be read: {error.strerror}",
            where=str(path),
            hint="write it, or take `access` out of the manifest if everyone may see all",
        ) from error
    return parse_access(text, path=str(path))


def parse_access(text: str, *, path: str = "access.toml") -> AccessPolicy:
    """The policy that a text says. Raises `BadAccessPolicy`, with the line."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = line[1] if line else str(text.count("\n") + 1)
        raise BadAccessPolicy(f"the access policy is no TOML: {error}", where=f"{path}:{number}") from None
    return _Reading(text, path).policy(table)


class _Reading:
    """Checks one file's table and turns it into values; knows where things stand, for errors."""

    def __init__(self, text: str, path: str) -> None:
        self.lines = text.splitlines()
        self.path = path

    def policy(self, table: Mapping[str, Any]) -> AccessPolicy:
        self._only(table, {"default", "users", "rules"}, "the access policy", self._line(r"\s*KEY\s*[=.\]]"))
        users = table.get("users", {})
        if not isinstance(users, dict):
            raise self._bad("`users` is no table", "users")
        rules = table.get("rules", [])
        if not isinstance(rules, list):
            raise self._bad("`rules` is no list of tables: write `[[rules]]`", "rules")
        return AccessPolicy(
            users={name: self._groups(groups, f"the user `{name}`", name) for name, groups in users.items()},
            rules=tuple(self._rule(rule, number) for number, rule in enumerate(rules)),
            default=self._default(table.get("default", NOBODY)),
            path=self.path,
        )

    def _default(self, value: Any) -> frozenset[str]:
        if value not in (EVERYONE, NOBODY):
            raise self._bad(f"`default` is `{value}`, and may be `everyone` or `nobody`", "default")
        return frozenset({EVERYONE}) if value == EVERYONE else frozenset()

    def _rule(self, rule: Any, number: int) -> AccessRule:
        where = f"rule {number + 1}"
        line = self._rule_line(number)
        if not isinstance(rule, dict):
            raise self._bad("`rules` is no list of tables: write `[[rules]]`", "rules")
        self._only(rule, {"documents", "groups"}, where, lambda _: line)
        for key in ("documents", "groups"):
            if key not in rule:
                raise BadAccessPolicy(f"{where} has no `{key}`", where=f"{self.path}:{line}")
        documents = rule["documents"]
        if not _are_texts(documents) or not documents:
            fact = f"`documents` of {where} is no list of patterns"
            raise BadAccessPolicy(fact, where=f"{self.path}:{line}", hint='for example `["hr/**"]`')
        return AccessRule(
            documents=tuple(documents), groups=self._groups(rule["groups"], where, "groups", line)
        )

    def _groups(self, value: Any, whose: str, key: str, line: int | None = None) -> frozenset[str]:
        if not _are_texts(value) or not all(value):
            line = line or self._line(r"\s*KEY\s*=")(key)
            fact = f"the groups of {whose} are no list of names"
            raise BadAccessPolicy(fact, where=f"{self.path}:{line}", hint='for example `["hr"]`')
        return frozenset(value)

    def _only(self, table: Mapping[str, Any], known: set[str], what: str, line: Any) -> None:
        for key in table:
            if key not in known:
                close = nearest(key, known)
                hint = f"did you mean `{close[0]}`?" if close else f"it has {', '.join(sorted(known))}"
                raise BadAccessPolicy(
                    f"{what} has an unknown key `{key}`", where=f"{self.path}:{line(key)}", hint=hint
                )

    def _bad(self, fact: str, key: str) -> BadAccessPolicy:
        line = self._line(r"[\s\[]*KEY")(key)
        return BadAccessPolicy(fact, where=f"{self.path}:{line}")

    def _line(self, pattern: str) -> Any:
        """Where the first line that fits a pattern is, for a key in the place of KEY; 1 if none does."""

        def find(key: str) -> int:
            wanted = re.compile(pattern.replace("KEY", f"[\"'\\[]*{re.escape(key)}[\"']?"))
            return next((number for number, line in enumerate(self.lines, 1) if wanted.match(line)), 1)

        return find

    def _rule_line(self, number: int) -> int:
        heads = [at for at, line in enumerate(self.lines, 1) if re.match(r"\s*\[\[\s*rules\s*\]\]", line)]
        return heads[number] if number < len(heads) else 1


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of paths: `*` and `?` stay within a name, `**` goes through directories.

    A pattern that ends in `/` or `/**` fits all below it.
    """
    if pattern.endswith("/"):
        pattern += "**"
    words = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern.removeprefix("./"))
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(word, _literal(word)) for word in words) + r"\Z", re.DOTALL)


def _literal(word: str) -> str:
    if word.startswith("[") and word.endswith("]") and len(word) > 2:
        inside = word[1:-1].replace("\\", r"\\")
        return f"[^{inside[1:]}]" if inside[0] == "!" else f"[{inside}]"
    return re.escape(word)


def sees(groups: Iterable[str], document: frozenset[str]) -> bool:
    """Whether an asker in these groups sees a document that those may see."""
    return not document.isdisjoint(groups)
