"""The modules of a Python package: what each imports, and which of them an import of the package brings.

Owns reading imports, by words where that is enough, and parsing modules once. What their code does is for
`loads` to say.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

SMALL = 80
"""How many modules a package may have to be looked through whole."""

_POPULAR = 40

_IMPORT = re.compile(
    r"^(?:from[ \t]+(?P<module>[.\w]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n#]*)"
    r"|import[ \t]+(?P<plain>[^\n#]+))",
    re.MULTILINE,
)


class Modules:
    """A package's modules: their sources, trees, and what they import."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self.sources = sources
        self._paths = {_module_name(path): path for path in sources}
        self._trees: dict[str, ast.Module | None] = {}
        self._imports: dict[str, tuple[str, ...]] = {}

    def path(self, module: str) -> str | None:
        return self._paths.get(module)

    def tree(self, path: str) -> ast.Module | None:
        if path not in self._trees:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._trees[path] = ast.parse(self.sources[path])
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._trees[path] = None
        return self._trees[path]

    def imports(self, path: str) -> tuple[str, ...]:
        """The package's modules that one imports where nothing guards it: at the beginning of a line."""
        if path not in self._imports:
            text = self.sources[path].decode("utf-8", "replace")
            found: dict[str, None] = {}
            for match in _IMPORT.finditer(text + _tried(text)):
                found.update(dict.fromkeys(self._targets(path, match)))
            self._imports[path] = tuple(found)
        return self._imports[path]

    def _targets(self, path: str, match: re.Match[str]) -> Iterator[str]:
        if match["plain"]:
            for part in match["plain"].split(","):
                yield from self._with_parents(part.split(" as ")[0].strip())
            return
        base = self.absolute(path, match["module"])
        yield from self._with_parents(base)
        for name in re.findall(r"\w+", re.sub(r"\bas\s+\w+", "", match["names"])):
            if child := self._paths.get(f"{base}.{name}"):
                yield child

    def _with_parents(self, module: str) -> Iterator[str]:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            if found := self._paths.get(".".join(parts[:end])):
                yield found

    def absolute(self, path: str, module: str) -> str:
        """`..b` in `a/x/y.py` is `a.b`."""
        level = len(module) - len(module.lstrip("."))
        if not level:
            return module
        own = _module_name(path).split(".")
        if path.endswith("__init__.py"):
            own.append("")
        base = own[: max(len(own) - level, 0)]
        return ".".join([*base, *filter(None, [module[level:]])])

    def reached(self, tops: Iterable[str]) -> list[str]:
        """The modules that importing the top ones imports, in no order that matters."""
        return self.reached_from([path for top in tops if (path := self._paths.get(top))])

    def reached_from(self, paths: Sequence[str]) -> list[str]:
        """The same of modules by their paths; these come first."""
        waiting = list(paths)
        seen = dict.fromkeys(waiting)
        while waiting:
            for path in self.imports(waiting.pop()):
                if path not in seen:
                    seen[path] = None
                    waiting.append(path)
        return list(seen)

    def central(self, paths: Iterable[str]) -> list[str]:
        """Those that more than half of a small package's modules import."""
        if len(self.sources) > SMALL:
            return []
        counts = dict.fromkeys(paths, 0)
        for module in self._paths:
            for path in self.reached([module]):
                if path in counts:
                    counts[path] += 1
        return [path for path, count in counts.items() if 2 * count > len(self.sources)]

    def importers(self, paths: set[str]) -> list[str]:
        """The modules of a small package that import one of these: they know what to call it with."""
        if len(self.sources) > SMALL:
            return []
        return sorted(path for path in self.sources if path not in paths and self.imports_any(path, paths))

    def without_popular(self, paths: set[str]) -> set[str]:
        """Without those that dozens of modules import: they do so for something else than a load."""
        counts = dict.fromkeys(paths, 0)
        for path in self.sources:
            for found in self.imports(path):
                if found in counts:
                    counts[found] += 1
        return {path for path, count in counts.items() if count <= _POPULAR}

    def guarding(self, paths: Collection[str]) -> list[str]:
        """The modules that import one of these, or what imports it, in a guard or a function; sorted."""
        leading = self._leading_to(paths)
        if not leading:
            return []
        return sorted(path for path in self.sources if not leading.isdisjoint(self._indented(path)))

    def _leading_to(self, paths: Collection[str]) -> set[str]:
        """These modules, and those whose import imports one of them for certain."""
        users: dict[str, list[str]] = {}
        for path in self.sources if paths else ():
            for found in self.imports(path):
                users.setdefault(found, []).append(path)
        seen = set(paths)
        waiting = list(paths)
        while waiting:
            new = [path for path in users.get(waiting.pop(), ()) if path not in seen]
            seen.update(new)
            waiting += new
        return seen

    def _indented(self, path: str) -> Iterator[str]:
        """The package's modules that a module imports within something."""
        for match in _INDENTED.finditer(self.sources[path].decode("utf-8", "replace")):
            base = self.absolute(path, match[1]) if match[1] else ""
            for name in re.findall(r"[\w.]+", re.sub(r"\bas\s+\w+", "", match[2])):
                for full in (f"{base}.{name}" if base else name, base):
                    if found := self._paths.get(full):
                        yield found

    def imports_any(self, path: str, others: set[str]) -> bool:
        return any(found in others for found in self.imports(path))


# Each line can be taken in one way only: a pattern that could divide it would try all ways of all lines.
_TRY = re.compile(
    r"^try:[^\n]*\n(?P<body>(?:[ \t][^\n]*\n|\n)+)(?P<handlers>(?:except[^\n]*\n(?:[ \t][^\n]*\n|\n)+)+)",
    re.MULTILINE,
)
_RAISES = re.compile(
    r"^except[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n)*(?:[ \t][^\n]*\n){0,3}?[ \t]+raise\b", re.MULTILINE
)


def _tried(text: str) -> str:
    """The statements at the top of a module that are tried, where each handler raises: no guard at all."""
    tried = [
        re.sub(r"^[ \t]+", "", match["body"], flags=re.MULTILINE)
        for match in (_TRY.finditer(text) if "\ntry:" in text else ())
        if len(_RAISES.findall(match["handlers"]))
        == len(re.findall(r"^except", match["handlers"], re.MULTILINE))
    ]
    return "".join(f"\n{one}" for one in tried)


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


_INDENTED = re.compile(r"^[ \t]+(?:from[ \t]+([.\w]+)[ \t]+)?import[ \t]+([^\n#]+)", re.MULTILINE)


def guarded_modules(sources: Iterable[bytes]) -> frozenset[str]:
    """The last parts of modules' names that are imported in guards and functions, and nowhere else."""
    guarded: set[str] = set()
    certain: set[str] = set()
    for source in sources:
        text = source.decode("utf-8", "replace")
        for match in _INDENTED.finditer(text):
            guarded.update(re.findall(r"\w+", " ".join(filter(None, match.groups()))))
        for match in _IMPORT.finditer(text):
            certain.update(re.findall(r"\w+", " ".join(filter(None, match.groups()))))
    return frozenset(guarded - certain)
