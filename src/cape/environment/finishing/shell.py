"""A walker over maintainer scripts: which known commands they would call, without running anything.

Owns just enough of the shell's language: words with quotes and variables, assignments, `for` loops,
functions. Every branch of every condition is taken, so a call found here says "under some circumstances":
the caller keeps only what fits the tree. A value that would need a program to be run is unknown; an
assignment of it is passed over, and a call with it is dropped. A temporary file stands for the file that
was copied into it first; what the script edits in it is not seen.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Call = tuple[str, ...]
Glob = Callable[[str], Sequence[str]]
"""Gives the paths that a pattern matches in the tree, sorted; empty for none."""

_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|[;&|()\n]|<<-?")
_HERE_DOCUMENT = re.compile(r"[ \t]*(['\"\\]?)([\w@%.-]+)['\"]?")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)\Z", re.DOTALL)
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*|[0-9#@*])(?:(:?[-=+?]|%%?|##?)(.*))?\}\Z", re.DOTALL)
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "esac", "{", "}", "!", "time"}
)
_BUILTIN_PREFIXES = frozenset({"export", "local", "readonly", "declare", "command", "exec", "eval", "env"})
_MOST_CALLS = 100_000
_TEMPORARY = "/@temporary@/"
_COPYING = frozenset({"cat", "cp", "sed"})


class _Unknown(Exception):
    """A word whose value only a run of the script would tell."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_operator: bool = False


def calls_in(script: str, commands: frozenset[str], variables: Mapping[str, str], glob: Glob) -> list[Call]:
    """The calls of `commands` that a script may make, in order, their arguments expanded.

    A command is known by its file name, whatever its directory. `variables` are set at the start.
    Text that is no shell script gives whatever calls can be read, never an error.
    """
    if not any(command in script for command in commands):
        return []
    walker = _Walker(commands, dict(variables), glob)
    walker.run(_tokens(script))
    return walker.calls


def _tokens(script: str) -> list[_Token]:
    tokens: list[_Token] = []
    pending: list[str] = []
    at = 0
    script = script.replace("\\\n", " ")
    while at < len(script):
        char = script[at]
        if char in " \t\r":
            at += 1
        elif char == "#":
            at = _find(script, "\n", at)
        elif match := _OPERATOR.match(script, at):
            at = match.end()
            if match.group().startswith("<<"):
                ending = _HERE_DOCUMENT.match(script, at)
                if ending:
                    pending.append(ending[2])
                    at = ending.end()
                continue
            tokens.append(_Token(match.group(), True))
            if char == "\n" and pending:
                at = _after_here_documents(script, at, pending)
                pending = []
        else:
            end = _word_end(script, at)
            tokens.append(_Token(script[at:end]))
            at = end
    return tokens


def _find(text: str, what: str, at: int) -> int:
    found = text.find(what, at)
    return len(text) if found < 0 else found


def _after_here_documents(script: str, at: int, endings: Sequence[str]) -> int:
    for ending in endings:
        match = re.compile(rf"^\t*{re.escape(ending)}$", re.MULTILINE).search(script, at)
        at = match.end() if match else len(script)
    return at


def _word_end(script: str, at: int) -> int:
    """Where the word that begins at `at` ends: at a blank or an operator outside of quotes."""
    start = at
    while at < len(script):
        char = script[at]
        if char == "\\":
            at += 2
        elif char in "'\"`":
            at = _closing(script, at)
        elif script.startswith(("$(", "${"), at):
            at = _closing(script, at + 1)
        elif char in " \t\r\n;&|()" or (char == "<" and script.startswith("<<", at)):
            break
        else:
            at += 1
    return min(max(at, start + 1), len(script))


def _closing(script: str, at: int) -> int:
    """The place after the quote, brace or parenthesis that opens at `at`."""
    opener = script[at]
    if opener == "'":
        return _find(script, "'", at + 1) + 1
    closer = {"(": ")", "{": "}"}.get(opener, opener)
    at += 1
    while at < len(script):
        if script[at] == "\\":
            at += 2
        elif script[at] == closer:
            return at + 1
        elif script.startswith(("$(", "${"), at):
            at = _closing(script, at + 1)
        elif (script[at] in "'\"" and opener in "({") or script[at] == opener:
            at = _closing(script, at)
        else:
            at += 1
    return len(script)


class _Walker:
    """The state of one walk: variables, functions, and the calls found so far."""

    def __init__(self, commands: frozenset[str], variables: dict[str, str], glob: Glob) -> None:
        self.commands = commands
        self.variables = variables
        self.glob = glob
        self.functions: dict[str, list[_Token]] = {}
        self.calls: list[Call] = []
        self.temporaries = 0
        self.copied: dict[str, str] = {}
        """The file that each temporary one was copied from."""
        self.steps = 0
        self.depth = 0

    def run(self, tokens: Sequence[_Token]) -> None:
        at = 0
        while at < len(tokens) and self.steps < _MOST_CALLS:
            self.steps += 1
            if tokens[at].is_operator or tokens[at].text in _KEYWORDS:
                at += 1
            elif tokens[at].text == "for":
                at = self._loop(tokens, at)
            elif self._is_function(tokens, at):
                at = self._define(tokens, at)
            else:
                at = self._simple(tokens, at)

    def _loop(self, tokens: Sequence[_Token], at: int) -> int:
        end = next((i for i in range(at, len(tokens)) if tokens[i].text == "do"), len(tokens))
        done = _matching(tokens, end, "do", "done")
        words = [token.text for token in tokens[at + 1 : end] if not token.is_operator]
        values = self._fields(words[2:]) if words[1:2] == ["in"] else []
        for value in values:
            self.variables[words[0]] = value
            self.run(tokens[end + 1 : done])
        return done + 1

    def _is_function(self, tokens: Sequence[_Token], at: int) -> bool:
        return [token.text for token in tokens[at + 1 : at + 3]] == ["(", ")"]

    def _define(self, tokens: Sequence[_Token], at: int) -> int:
        start = next((i for i in range(at, len(tokens)) if tokens[i].text == "{"), len(tokens))
        end = _matching(tokens, start, "{", "}")
        self.functions[tokens[at].text] = list(tokens[start + 1 : end])
        return end + 1

    def _simple(self, tokens: Sequence[_Token], at: int) -> int:
        end = at
        while end < len(tokens) and not tokens[end].is_operator:
            end += 1
        words = [token.text for token in tokens[at:end]]
        while words and (words[0] in _BUILTIN_PREFIXES or self._assign(words[0])):
            words.pop(0)
        if words:
            self._call(words)
        return end

    def _assign(self, word: str) -> bool:
        match = _ASSIGNMENT.match(word)
        if match is None:
            return False
        with contextlib.suppress(_Unknown):
            self.variables[match[1]] = "".join(text for text, _ in self._expand(match[2]))
        return True

    def _call(self, words: Sequence[str]) -> None:
        name = words[0].strip("'\"")
        if name == "unset":
            for variable in words[1:]:
                self.variables.pop(variable, None)
        elif name in self.functions:
            self._call_function(name, words[1:])
        elif name.rsplit("/", 1)[-1] in self.commands:
            try:
                arguments = self._fields_strictly(words[1:])
            except _Unknown:
                return
            arguments = [self.copied.get(argument, argument) for argument in arguments]
            self.calls.append((name.rsplit("/", 1)[-1], *arguments))
        elif name in _COPYING:
            self._copy(name, words[1:])

    def _copy(self, name: str, words: Sequence[str]) -> None:
        """Note the source of `cp FILE TEMPORARY`, `cat FILE > TEMPORARY`, `sed EDIT FILE > TEMPORARY`."""
        try:
            files = self._fields_strictly(words)
            target = (
                files.pop() if name == "cp" and files else "".join(self._fields_strictly(_written(words)))
            )
        except _Unknown:
            return
        if files and target.startswith(_TEMPORARY):
            self.copied.setdefault(target, self.copied.get(files[-1], files[-1]))

    def _call_function(self, name: str, words: Sequence[str]) -> None:
        if self.depth >= 16:
            return
        outer = {key: value for key, value in self.variables.items() if key.isdigit() or key == "@"}
        arguments = self._fields(words)
        self.variables |= {str(i): value for i, value in enumerate(arguments, 1)} | {"@": " ".join(arguments)}
        self.depth += 1
        self.run(self.functions[name])
        self.depth -= 1
        self.variables |= outer

    def _fields(self, words: Sequence[str]) -> list[str]:
        """The fields of words, those of unknown value left out."""
        fields: list[str] = []
        for word in words:
            try:
                fields += self._fields_strictly([word])
            except _Unknown:
                continue
        return fields

    def _fields_strictly(self, words: Sequence[str]) -> list[str]:
        fields: list[str] = []
        for word in _without_redirections(words):
            for field, may_match in _split(self._expand(word)):
                matches = self.glob(field) if may_match and re.search(r"[*?\[]", field) else ()
                fields += matches or [field]
        return fields

    def _expand(self, word: str) -> list[tuple[str, bool]]:
        """A word as pieces of text, each with whether it was quoted."""
        pieces: list[tuple[str, bool]] = []
        at = 0
        while at < len(word):
            char = word[at]
            if char == "\\":
                pieces.append((word[at + 1 : at + 2], True))
                at += 2
            elif char in "'\"":
                end = _closing(word, at)
                inside = word[at + 1 : end - 1]
                pieces.append((inside if char == "'" else self._inside_quotes(inside), True))
                at = end
            elif char in "$`":
                value, at = self._value(word, at)
                pieces.append((value, False))
            else:
                pieces.append((char, False))
                at += 1
        return pieces

    def _inside_quotes(self, text: str) -> str:
        out, at = "", 0
        while at < len(text):
            if text[at] in "$`":
                value, at = self._value(text, at)
                out += value
            elif text[at] == "\\" and text[at + 1 : at + 2] in ("$", '"', "\\", "`"):
                out += text[at + 1]
                at += 2
            else:
                out += text[at]
                at += 1
        return out

    def _value(self, text: str, at: int) -> tuple[str, int]:
        """The value of what begins with `$` or a backquote at `at`, and the place after it."""
        if text[at] == "`":
            end = _closing(text, at)
            return self._substitution(text[at + 1 : end - 1]), end
        if text.startswith("$(", at):
            end = _closing(text, at + 1)
            return self._substitution(text[at + 2 : end - 1]), end
        if text.startswith("${", at):
            end = _closing(text, at + 1)
            return self._parameter(text[at + 1 : end]), end
        match = re.compile(r"\$([A-Za-z_]\w*|[0-9@*])").match(text, at)
        if match is None:
            return "$", at + 1
        name = "@" if match[1] == "*" else match[1]
        return self.variables.get(name, ""), match.end()

    def _parameter(self, text: str) -> str:
        match = _PARAMETER.match(text)
        if match is None:
            raise _Unknown
        name, operator, operand = match[1], match[2], match[3]
        value = self.variables.get("@" if name == "*" else name, "")
        if not operator:
            return value
        if operator in ("%", "%%", "#", "##"):
            return _stripped(value, operator, self._inside_quotes(operand.strip("'\"")))
        use_operand = bool(value) if "+" in operator else not value
        if use_operand:
            return self._inside_quotes(operand.strip("'\""))
        return "" if "+" in operator else value

    def _substitution(self, command: str) -> str:
        """The output of the few commands that need no run. Raises `_Unknown` for all others."""
        words = self._fields_strictly([token.text for token in _tokens(command)])
        match words:
            case ["dpkg-architecture", "-qDEB_HOST_MULTIARCH"]:
                return self.variables["DEB_HOST_MULTIARCH"]
            case ["dpkg", "--print-architecture"]:
                return self.variables["DPKG_MAINTSCRIPT_ARCH"]
            case ["basename", path]:
                return path.rstrip("/").rsplit("/", 1)[-1]
            case ["basename", path, suffix]:
                return path.rstrip("/").rsplit("/", 1)[-1].removesuffix(suffix)
            case ["dirname", path]:
                return path.rpartition("/")[0] or "/"
            case ["mktemp", *_]:
                self.temporaries += 1
                return f"{_TEMPORARY}{self.temporaries}"
            case ["echo", *rest] if "|" not in rest:
                return " ".join(rest)
            case ["seq", first, last] if first.isdigit() and last.isdigit():
                return " ".join(map(str, range(int(first), min(int(last), int(first) + 999) + 1)))
        raise _Unknown


def _without_redirections(words: Sequence[str]) -> Iterator[str]:
    waiting = iter(words)
    for word in waiting:
        if re.fullmatch(r"\d*(<|>>?)", word):
            next(waiting, None)
        elif not re.match(r"\d*[<>]", word):
            yield word


def _written(words: Sequence[str]) -> list[str]:
    """The file that the words' output goes to, if any."""
    for at, word in enumerate(words):
        if match := re.match(r"1?>>?", word):
            rest = word[match.end() :]
            return [rest] if rest else list(words[at + 1 : at + 2])
    return []


def _matching(tokens: Sequence[_Token], start: int, opener: str, closer: str) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        if tokens[at].text == opener:
            depth += 1
        elif tokens[at].text == closer:
            depth -= 1
            if depth == 0:
                return at
    return len(tokens)


def _stripped(value: str, operator: str, pattern: str) -> str:
    import fnmatch

    lengths = range(len(value) + 1)
    if operator in ("%%", "##"):
        lengths = range(len(value), -1, -1)
    for length in lengths:
        cut = value[len(value) - length :] if operator[0] == "%" else value[:length]
        if fnmatch.fnmatchcase(cut, pattern):
            return value[: len(value) - length] if operator[0] == "%" else value[length:]
    return value


def _split(pieces: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Fields of the pieces of one word, each with whether it may be a pattern: no part was quoted."""
    fields: list[list[tuple[str, bool]]] = [[]]
    for text, quoted in pieces:
        if quoted:
            fields[-1].append((text, True))
            continue
        for i, part in enumerate(re.split(r"[ \t\n]+", text)):
            if i:
                fields.append([])
            if part:
                fields[-1].append((part, False))
    return [("".join(t for t, _ in field), not any(q for _, q in field)) for field in fields if field]
