"""The names that Python code looks for at run time: libraries, programs, typelibs. Code is read, never run.

Owns a small abstract run of a package's modules: which functions an import calls, which texts reach
`find_library`, `CDLL`, `dlopen`, `which` and the like, and what happens when nothing is found. What is not
understood is left out: a name that cannot be told is no need. Modules that can matter are parsed; the
others are only searched for what they import. It is one module, if a long one: an interpreter's parts call
each other, and none is of use alone.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cape.analysis.conditions import decided, literal, platform_text
from cape.analysis.modules import SMALL, Modules
from cape.analysis.needs import Load, LoadKind, Reach

_TRIGGERS = re.compile(
    rb"find_library|CDLL|\bcdll\b|PyDLL|LoadLibrary|dlopen|load_library|require_version"
    rb"|subprocess|shutil|\bwhich\(|os\.exec|Popen"
)
_LOADERS = frozenset({"CDLL", "PyDLL", "LoadLibrary", "dlopen", "load_library"})
_NAME_LOADERS = frozenset({"dlopen", "load_library"})
"""Those that take a library's name, too."""

_RUNNERS = frozenset({"run", "call", "check_call", "check_output", "Popen", "create_subprocess_exec"})
_PASSING = frozenset(
    {
        "tuple",
        "list",
        "set",
        "reversed",
        "sorted",
        "iter",
        "str",
        "filter",
        "chain",
        "product",
        "Path",
        "encode",
    }
)
_EXECUTORS = frozenset({"execvp", "execvpe", "execlp", "spawnvp"})
_STARTING = ("subprocess", "asyncio")
_KNOWN_MODULES = frozenset({*_STARTING, "shutil", "ctypes", "ctypes.util", "os"})
_MODULES_PARSED = 400
"""A package with more modules that could matter is too large to be about one library."""

_BARE = 3
"""A package whose top module brings no more than this is used through its submodules."""

_DEPTH = 12
_MOST_GUARDING = 40
"""If more modules import loaders in functions, they are not looked at for guards."""

_MOST_CALLERS = 60
"""So many modules of a large package are asked what they call loaders with."""

_MOST_STEPS = 400_000
"""So many expressions are looked at in one package; what comes after them is left out."""

_MOST_NAMES = 24
_MOST_ALTERNATIVES = 80
_FOUND = "\0"
"""Before a name that `find_library` was asked for already: the value is a path, or None."""

_TRUE = "\1"
"""The value of `True`."""

_LOADER = "\2"
"""The value of `ctypes.CDLL`, `ctypes.cdll` and the like, which may be given to a function that calls it."""

_LOADER_NAMES = frozenset({"CDLL", "cdll", "PyDLL", "pydll"})
_PARTS_OF_LOADER = frozenset({"_dlltype", "LoadLibrary"})
_ASKING = frozenset({"which", "where"})
"""Programs that only tell whether there is another one."""

_EXECUTABLE = re.compile(
    r"(?:^|_)(?:exec|executable|binary|bin|program|prog|command|cmd)(?:_name|_?path)?$", re.I
)
"""What code calls a variable in which it keeps a program's name."""

_LIBRARY_NAME = re.compile(r"lib", re.I)
_LONGEST_RANGE = 24

_LIBRARY_FILE = re.compile(r"(?:.*/)?(lib[\w.+-]+?\.so(?:\.[\w.]+)?)\Z")
_BRACES = re.compile(r"\{\w*\}")
_PLACE = re.compile(r"%[sdi]")
_PROGRAM = re.compile(r"[A-Za-z0-9][\w.+-]*\Z")
_STEM = re.compile(r"(?:lib)?(.+?)(?:\.so[.\d]*|[-_.]?\d[\d.]*)?\Z")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A module's or function's activation: its name for grouping, and whether it raises by itself."""

    module: str
    name: str
    raises: bool
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Event:
    path: str
    line: int
    kind: LoadKind
    names: tuple[str, ...]
    reach: Reach
    group: str


def read_loads(
    sources: Mapping[str, bytes], tops: Iterable[str], started: Iterable[str] = ()
) -> tuple[Load, ...]:
    """The loads of a package, sorted. `sources` are its `.py` files by their paths below site-packages.

    `tops` are the modules that people import, `started` those whose functions are commands. Code for other
    kinds of machine is passed over.
    """
    triggered = {path for path, text in sources.items() if _TRIGGERS.search(text)}
    if not triggered or len(triggered) > _MODULES_PARSED:
        return ()
    modules = Modules(sources)
    reached = modules.reached(tops)
    if len(reached) <= _BARE:
        reached += [path for path in modules.central(triggered) if path not in reached]
    with _uncollected():
        run = _run(modules, triggered, reached, modules.reached(started))
    return _grouped(run.events)


def _run(modules: Modules, triggered: set[str], reached: Sequence[str], started: Iterable[str]) -> _Run:
    """Run what importing reaches, then the rest of what may load something."""
    followed = _followed(modules, triggered)
    run = _Run(modules, triggered, followed, frozenset(reached), frozenset(started))
    for path in reached:
        if path in followed:
            run.module(path, Reach.IMPORT)
    guarding = modules.guarding(run.behind_guards)
    if len(guarding) <= _MOST_GUARDING:
        run.followed |= set(guarding)
        for path in guarding:
            run.rest(path)
    is_small = len(modules.sources) <= SMALL
    callers = modules.importers(triggered) if is_small else sorted(followed - triggered)[:_MOST_CALLERS]
    for path in [*callers, *sorted(triggered)]:
        run.rest(path)
    return run


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for cycles: over the trees of many modules it takes half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _followed(modules: Modules, triggered: set[str]) -> frozenset[str]:
    """The modules whose code is run: all of a small package, else what may load, and who calls that."""
    if len(modules.sources) <= SMALL:
        return frozenset(modules.sources)
    telling = modules.without_popular(triggered)
    callers = {path for path in modules.sources if modules.imports_any(path, telling)}
    return frozenset(triggered | callers)


def _grouped(events: Iterable[_Event]) -> tuple[Load, ...]:
    """One load per thing looked for: other names for it, and other places, are alternatives."""
    merged: list[tuple[set[str], list[_Event]]] = []
    for event in events:
        keys = {f"{event.kind == LoadKind.PROGRAM}:{event.group}"} | {
            f"{event.kind == LoadKind.PROGRAM}:={stem(name)}" for name in event.names
        }
        same = [one for one in merged if one[0] & keys]
        joined = (set(keys), [event])
        for one in same:
            joined[0].update(one[0])
            joined[1][:0] = one[1]
            merged.remove(one)
        merged.append(joined)
    return tuple(sorted({_load(members) for _, members in merged}))


_ORDER = (Reach.IMPORT, Reach.USE, Reach.OPTIONAL)


def _load(members: Sequence[_Event]) -> Load:
    first = min(members, key=lambda event: (_ORDER.index(event.reach), event.path, event.line))
    names = dict.fromkeys(
        f"*{name}" if event.kind is LoadKind.LIBRARY else name for event in members for name in event.names
    )
    kind = LoadKind.FILE if first.kind is LoadKind.LIBRARY else first.kind
    return Load(
        path=first.path,
        line=first.line,
        kind=kind,
        names=tuple(names)[:_MOST_ALTERNATIVES],
        reach=first.reach,
        places=len(members),
    )


def stem(name: str) -> str:
    """What a library is called in all its names.

    >>> stem("libmagic.so.1"), stem("magic"), stem("usb-1.0"), stem("libSDL2.so")
    ('magic', 'magic', 'usb', 'sdl2')
    """
    match = _STEM.match(name.lower())
    return match[1] if match else name.lower()


class _Run:
    """One abstract run. `events` are the loads met, in their order; `steps` bounds how long it may take."""

    def __init__(
        self,
        modules: Modules,
        triggered: set[str],
        followed: frozenset[str],
        reached: frozenset[str],
        started: frozenset[str],
    ) -> None:
        self.modules = modules
        self.triggered = triggered
        self.followed = followed
        self.reached = reached
        self.steps = _MOST_STEPS
        self.behind_guards = triggered - reached
        """Modules that matter and that only a guarded import brings, as long as none has."""
        self.used = reached | started
        self.events: list[_Event] = []
        self.done: dict[tuple[int, tuple[tuple[str, tuple[str, ...]], ...]], list[str]] = {}
        self.walked: set[int] = set()
        self.scopes: dict[str, _Scope] = {}
        self.running: set[str] = set()
        self.guards: set[str] = set()

    def scope(self, path: str) -> _Scope | None:
        if path not in self.scopes:
            tree = self.modules.tree(path) if path in self.followed else None
            if tree is None:
                return None
            self.scopes[path] = _Scope(path, tree, self.modules)
        return self.scopes[path]

    def module(self, path: str, reach: Reach) -> None:
        """Run a module's own statements."""
        scope = self.scope(path)
        if scope is None or path in self.running:
            return
        self.running.add(path)
        self.behind_guards.discard(path)
        frame = _Frame(path, "<module>", _raises(scope.tree.body), scope.constants)
        _Walk(self, scope, frame, reach, 0).statements(scope.tree.body)

    def guarded(self, path: str, outer: _Walk) -> None:
        """Run a module's statements for one that imports it in a guard, or within a function."""
        if path in self.guards:
            return
        self.guards.add(path)
        if not self.behind_guards:
            return
        for found in self.modules.reached_from([path]):
            if found in self.behind_guards:
                self._guarded_alone(found, outer)

    def _guarded_alone(self, path: str, outer: _Walk) -> None:
        scope = self.scope(path)
        if scope is None or path in self.running:
            return
        self.running.add(path)
        self.behind_guards.discard(path)
        frame = _Frame(path, "<module>", _raises(scope.tree.body), scope.constants)
        walk = _Walk(self, scope, frame, outer.reach, outer.depth + 1)
        walk.is_optional = outer._is_optional()
        walk.may_raise = frame.raises or outer.may_raise
        walk.statements(scope.tree.body)

    def rest(self, path: str) -> None:
        """Run what importing did not reach: the module, then functions that nothing has called."""
        self.module(path, Reach.USE)
        scope = self.scope(path)
        for function in scope.callers_first() if scope else ():
            if id(function) not in self.walked and scope is not None:
                frame = _Frame(path, function.name, _raises(function.body), dict(_defaults(function, {})))
                self.walked.add(id(function))
                _Walk(self, scope, frame, Reach.USE, 1).statements(function.body)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Scope:
    """A module's names: functions, classes, imported names, and texts."""

    def __init__(self, path: str, tree: ast.Module, modules: Modules) -> None:
        self.path = path
        self.tree = tree
        self.constants: dict[str, tuple[str, ...]] = {}
        self.functions: dict[str, _Function] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        self.all_functions: list[_Function] = []
        self.assigned: dict[str, list[tuple[_Function, ast.expr]]] = {}
        self.attributes: dict[str, tuple[str, ...]] = {}
        for node in _statements_in(tree.body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.all_functions.append(node)
                if not any("overload" in ast.unparse(one) for one in node.decorator_list):
                    self.functions.setdefault(node.name, node)
            elif isinstance(node, ast.ClassDef):
                self.classes.setdefault(node.name, node)
            elif isinstance(node, ast.ImportFrom):
                module = modules.absolute(path, "." * node.level + (node.module or ""))
                for name in node.names:
                    self.imported[name.asname or name.name] = (module, name.name)
            elif isinstance(node, ast.Import):
                for name in node.names:
                    bound = name.name if name.asname else name.name.split(".")[0]
                    self.imported[name.asname or bound] = (bound, "")
            elif isinstance(node, ast.Assign):
                self._note_alias(node)

        for function in self.all_functions:
            self._note_attributes(function)

    def _note_alias(self, node: ast.Assign) -> None:
        """`start = subprocess.Popen` is as good as an import."""
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name) and isinstance(value, ast.Attribute):
            module = ast.unparse(value.value)
            if module in _KNOWN_MODULES:
                self.imported[target.id] = (module, value.attr)

    def _note_attributes(self, function: _Function) -> None:
        """Remember what methods give to `self.NAME`, as far as no call is in it."""
        for node in _statements_in(function.body):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not isinstance(target, ast.Attribute) or not isinstance(target.value, ast.Name):
                continue
            if target.value.id == "self" and not any(
                isinstance(one, ast.Call) for one in ast.walk(node.value)
            ):
                self.assigned.setdefault(target.attr, []).append((function, node.value))

    def callers_first(self) -> list[_Function]:
        """All functions; those that others of this module name come last."""
        named = {
            node.id if isinstance(node, ast.Name) else node.attr
            for function in self.all_functions
            for node in ast.walk(function)
            if isinstance(node, ast.Name | ast.Attribute)
        }
        return sorted(self.all_functions, key=lambda function: function.name in named)


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _statements_in(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    """All statements in some, outer ones first. (`ast.walk` goes through every expression, too.)"""
    waiting: deque[ast.AST] = deque(body)
    while waiting:
        node = waiting.popleft()
        yield node
        for name in _BLOCKS:
            block = getattr(node, name, None)
            if isinstance(block, list):
                waiting.extend(block)


def _raises(body: Sequence[ast.stmt]) -> bool:
    """Whether statements raise by themselves: not in a handler, nor in a function within."""
    for node in body:
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        if any(_raises(block) for block in blocks if isinstance(block, list)):
            return True
    return False


def _defaults(
    function: _Function, given: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    positional = [*function.args.posonlyargs, *function.args.args]
    pairs = [*zip(reversed(positional), reversed(function.args.defaults), strict=False)]
    pairs += [
        (one, value)
        for one, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=False)
        if value is not None
    ]
    for argument, value in pairs:
        if argument.arg not in given and (texts := literal(value)):
            yield argument.arg, texts


def _leaves(body: Sequence[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


_SWALLOWED = frozenset(
    {"OSError", "ImportError", "Exception", "BaseException", "AttributeError", "FileNotFoundError"}
    | {"IOError", "EnvironmentError", "ModuleNotFoundError", "ValueError", "RuntimeError"}
)


def _is_swallowed(node: ast.Try) -> bool:
    """Whether a failure inside of a `try` is caught, and none of what catches it raises."""
    for handler in node.handlers:
        names = {"OSError"} if handler.type is None else {one.split(".")[-1] for one in _names(handler.type)}
        own = {name for name in names if name not in _SWALLOWED}
        if (names & _SWALLOWED or own) and not _raises_anywhere(handler.body):
            return True
    return False


def _names(node: ast.expr) -> list[str]:
    members = node.elts if isinstance(node, ast.Tuple) else [node]
    return [ast.unparse(one) for one in members]


def _raises_anywhere(body: Sequence[ast.stmt]) -> bool:
    exits = ("sys.exit", "exit", "os._exit")
    return any(
        isinstance(inner, ast.Raise) or (isinstance(inner, ast.Call) and ast.unparse(inner.func) in exits)
        for node in body
        for inner in ast.walk(node)
    )


class _Walk:
    """The statements of one activation, in order, with what is known of its names."""

    def __init__(self, run: _Run, scope: _Scope, frame: _Frame, reach: Reach, depth: int) -> None:
        self.run = run
        self.scope = scope
        self.frame = frame
        self.reach = reach
        self.depth = depth
        self.swallowed = 0
        self.is_called = False
        self.is_optional = False
        self.may_raise = frame.raises
        self.assigned = ""
        self.group = frame.module
        self.returned: list[str] = []

    # -- statements

    def statements(self, body: Sequence[ast.stmt]) -> bool:
        """Run statements; whether what follows them cannot happen, as far as that is known."""
        for node in body:
            self.statement(node)
            if isinstance(node, ast.If) and self._is_true(node.test) and _leaves(node.body):
                return True
        return False

    def _is_true(self, test: ast.expr) -> bool:
        known = isinstance(test, ast.Name) and self.frame.names.get(test.id) == (_TRUE,)
        return known or decided(test, self.frame.names) is True

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                self.values(decorator)
        elif isinstance(node, ast.ClassDef):
            self.statements([one for one in node.body if not isinstance(one, ast.FunctionDef)])
        elif isinstance(node, ast.If):
            self._if(node)
        elif isinstance(node, ast.Try):
            self._try(node)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self._bind(node.target, self.values(node.iter))
            self.statements([*node.body, *node.orelse])
        elif isinstance(node, ast.While):
            self.values(node.test)
            self.statements([*node.body, *node.orelse])
        elif isinstance(node, ast.With | ast.AsyncWith):
            suppressed = any("suppress" in ast.unparse(item.context_expr) for item in node.items)
            for item in node.items:
                self.values(item.context_expr)
            self.swallowed += suppressed
            self.statements(node.body)
            self.swallowed -= suppressed
        else:
            self._simple(node)

    def _if(self, node: ast.If) -> None:
        known = decided(node.test, self.frame.names)
        if known is None:
            self.values(node.test)
        if known is not False:
            self.statements(node.body)
        if known is not True:
            self.statements(node.orelse)

    def _try(self, node: ast.Try) -> None:
        swallowed = _is_swallowed(node)
        self.swallowed += swallowed
        self.statements(node.body)
        self.swallowed -= swallowed
        for handler in node.handlers:
            self.statements(handler.body)
        self.statements([*node.orelse, *node.finalbody])

    def _simple(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            self._assign(node.targets, node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            self._assign([node.target], node.value, more=isinstance(node, ast.AugAssign))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.Return) and node.value is not None:
            self.returned += self.values(node.value)
        else:
            for value in ast.iter_child_nodes(node):
                if isinstance(value, ast.expr):
                    self.values(value)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import that may be guarded: of a module that nothing imports for certain."""
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        else:
            module = self.run.modules.absolute(self.scope.path, "." * node.level + (node.module or ""))
            names = [module, *(f"{module}.{one.name}" for one in node.names)]
        for name in names:
            path = self.run.modules.path(name)
            if path is not None and path not in self.run.reached and self.depth < _DEPTH:
                self.run.guarded(path, self)

    def _assign(self, targets: Sequence[ast.expr], value: ast.expr, *, more: bool = False) -> None:
        before, self.assigned = self.assigned, ast.unparse(targets[0])
        texts = self.values(value)
        self.assigned = before
        for target in targets:
            self._bind(target, texts, more=more)
            self._named(target, literal(value))

    def _named(self, target: ast.expr, texts: Sequence[str]) -> None:
        """Constants that are called `executable`, or a library: they are started or opened somewhere."""
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if len(texts) != 1 or self.frame.module not in self.run.triggered:
            return
        if _EXECUTABLE.search(name) and _PROGRAM.match(texts[0]):
            self._met(target, LoadKind.PROGRAM, texts)
        elif _LIBRARY_NAME.search(name) and _LIBRARY_FILE.fullmatch(texts[0]) and "/" not in texts[0]:
            self._met(target, LoadKind.FILE, texts)

    def _bind(self, target: ast.expr, texts: Sequence[str], *, more: bool = False) -> None:
        if isinstance(target, ast.Name):
            known = self.frame.names.get(target.id, ())
            joined = tuple(dict.fromkeys([*known, *texts] if more or self.swallowed or texts else known))
            self.frame.names[target.id] = joined[:_MOST_NAMES] if more or texts else known
            if texts and not more:
                self.frame.names[target.id] = tuple(dict.fromkeys([*texts, *known]))[:_MOST_NAMES]
        elif isinstance(target, ast.Tuple | ast.List):
            for one in target.elts:
                self._bind(one, texts, more=more)

    # -- expressions

    def values(self, node: ast.expr | None) -> list[str]:
        """The texts that an expression may be, flat; what it calls happens."""
        self.run.steps -= 1
        if node is None or self.depth > _DEPTH or self.run.steps < 0:
            return []
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        found = list(method(node)) if method else self._children(node)
        return list(dict.fromkeys(found))[:_MOST_NAMES]

    def _children(self, node: ast.AST) -> list[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.values(child)
        return []

    def _constant(self, node: ast.Constant) -> list[str]:
        if node.value is True:
            return [_TRUE]
        return [node.value] if isinstance(node.value, str) and len(node.value) < 200 else []

    def _name(self, node: ast.Name) -> Sequence[str]:
        if node.id in _LOADER_NAMES and self.scope.imported.get(node.id, ("", ""))[0] == "ctypes":
            return (_LOADER,)
        return self.frame.names.get(node.id) or self.scope.constants.get(node.id) or self._imported(node.id)

    def _imported(self, name: str) -> Sequence[str]:
        module, attribute = self.scope.imported.get(name, ("", ""))
        path = self.run.modules.path(module) if attribute else None
        scope = self.run.scopes.get(path) if path else None
        return scope.constants.get(attribute, ()) if scope else ()

    def _attribute(self, node: ast.Attribute) -> Sequence[str]:
        """A module's constant, or one of a class: all of a module's classes share their names here."""
        if not isinstance(node.value, ast.Name):
            return self._children(node)
        if (here := platform_text(node)) is not None:
            return (here,)
        if self._is_loader(node, node.value.id):
            return (_LOADER,)
        module, attribute = self.scope.imported.get(node.value.id, ("", ""))
        path = self.run.modules.path(f"{module}.{attribute}" if attribute else module)
        if path is not None:
            scope = self.run.scopes.get(path)
            return scope.constants.get(node.attr, ()) if scope else ()
        if node.value.id in ("self", "cls") or node.value.id in self.scope.classes:
            return self.scope.constants.get(node.attr) or self._given_to_self(node.attr)
        return ()

    def _is_loader(self, node: ast.Attribute, owner: str) -> bool:
        """Whether an attribute is `ctypes.CDLL`, or a part of what is known to be a loader."""
        if self.scope.imported.get(owner, ("", ""))[0] == "ctypes":
            return node.attr in _LOADER_NAMES
        return node.attr in _PARTS_OF_LOADER and _LOADER in self.frame.names.get(owner, ())

    def _given_to_self(self, name: str) -> Sequence[str]:
        """The texts that methods here give to `self.NAME`, where parameters are as by default."""
        scope = self.scope
        if name not in scope.attributes:
            scope.attributes[name] = ()
            found: list[str] = []
            for function, value in scope.assigned.get(name, ()):
                frame = _Frame(scope.path, function.name, False, dict(_defaults(function, {})))
                found += _Walk(self.run, scope, frame, self.reach, self.depth + 1).values(value)
            scope.attributes[name] = tuple(dict.fromkeys(found))[:_MOST_NAMES]
        return scope.attributes[name]

    def _tuple(self, node: ast.Tuple | ast.List | ast.Set) -> list[str]:
        return [text for one in node.elts for text in self.values(one)]

    _list = _set = _tuple

    def _starred(self, node: ast.Starred) -> list[str]:
        return self.values(node.value)

    def _dict(self, node: ast.Dict) -> list[str]:
        return [text for one in node.values for text in self.values(one)]

    def _boolop(self, node: ast.BoolOp) -> list[str]:
        return [text for one in node.values for text in self.values(one)]

    def _ifexp(self, node: ast.IfExp) -> list[str]:
        known = decided(node.test, self.frame.names)
        if known is None:
            self.values(node.test)
        first = self.values(node.body) if known is not False else []
        return first + (self.values(node.orelse) if known is not True else [])

    def _joinedstr(self, node: ast.JoinedStr) -> list[str]:
        texts = [""]
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            found = self.values(inner)
            if not found:
                return []
            texts = [first + second for first in texts for second in found][:_MOST_NAMES]
        return texts

    def _binop(self, node: ast.BinOp) -> list[str]:
        left, right = self.values(node.left), self.values(node.right)
        if isinstance(node.op, ast.Mod):
            return [_filled(_PLACE, text, one) for text in left for one in right if text.count("%") == 1]
        if isinstance(node.op, ast.Add):
            if _is_list(node):
                return left + right
            return [first + second for first in left for second in right]
        return []

    def _subscript(self, node: ast.Subscript) -> list[str]:
        here = platform_text(node.slice)
        if here is not None and isinstance(node.value, ast.Dict):
            chosen = [
                value
                for key, value in zip(node.value.keys, node.value.values, strict=True)
                if key is not None and here in literal(key)
            ]
            return [text for value in chosen for text in self.values(value)]
        self.values(node.slice)
        return self.values(node.value)

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> list[str]:
        for one in node.generators:
            self._bind(one.target, self.values(one.iter))
        return self.values(node.elt)

    _generatorexp = _setcomp = _listcomp

    def _lambda(self, node: ast.Lambda) -> list[str]:
        return []

    def _yield(self, node: ast.Yield) -> list[str]:
        self.returned += self.values(node.value)
        return []

    def _yieldfrom(self, node: ast.YieldFrom) -> list[str]:
        self.returned += self.values(node.value)
        return []

    def _namedexpr(self, node: ast.NamedExpr) -> list[str]:
        texts = self.values(node.value)
        self._bind(node.target, texts)
        return texts

    def _await(self, node: ast.Await) -> list[str]:
        return self.values(node.value)

    def _call(self, node: ast.Call) -> list[str]:
        if (here := platform_text(node)) is not None:
            return [here]
        name = self._name_of(node.func)
        arguments = [self.values(one) for one in node.args]
        keywords = {one.arg: self.values(one.value) for one in node.keywords}
        first = arguments[0] if arguments else next(iter(keywords.values()), [])
        if isinstance(node.func, ast.Attribute):
            self.values(node.func.value)
        if name == "find_library":
            names = [text for text in first if _PROGRAM.match(text)]
            self._met(node, LoadKind.LIBRARY, names)
            return [_FOUND + text for text in names] + self._own(node, arguments, keywords)
        before = len(self.run.events)
        own = self._own(node, arguments, keywords)
        if len(self.run.events) > before:
            return own
        if (name in _LOADERS or self._calls_loader(node)) and not own:
            self._loaded(
                node, [text for part in arguments for text in part] if name in _NAME_LOADERS else first
            )
        elif name == "which" or not own:
            self._other_call(node, name, arguments, first)
        return own or self._passed_on(node, name, first)

    def _calls_loader(self, node: ast.Call) -> bool:
        return isinstance(node.func, ast.Name) and _LOADER in self.frame.names.get(node.func.id, ())

    def _passed_on(self, node: ast.Call, name: str, first: list[str]) -> list[str]:
        """What calls that change little give back: `os.path.join(..., "libx.so")`, `"lib{}.so".format(x)`."""
        if name == "format" and isinstance(node.func, ast.Attribute):
            texts = self.values(node.func.value)
            return [_filled(_BRACES, text, one) for text in texts for one in first if text.count("{") == 1]
        if name == "split" and isinstance(node.func, ast.Attribute):
            mark = first[0] if first and first[0] else None
            return [part for text in self.values(node.func.value) for part in text.split(mark)]
        if name == "range" and isinstance(node.func, ast.Name):
            return _range(node)
        if name == "join":
            return self.values(node.args[-1]) if node.args else []
        if name in ("append", "extend") and isinstance(node.func, ast.Attribute):
            self._bind(node.func.value, first, more=True)
        elif name in _PASSING:
            return [text for one in node.args for text in self.values(one)] or (
                self.values(node.func.value) if isinstance(node.func, ast.Attribute) else []
            )
        if name in ("get", "getenv", "environ") and len(node.args) > 1:
            return self.values(node.args[1])
        return []

    def _loaded(self, node: ast.Call, texts: Sequence[str]) -> None:
        """`CDLL(text)`: a file's name, or for cffi also a library's."""
        files = [match[1] for text in texts if (match := _LIBRARY_FILE.match(text)) and "/" not in text]
        plain = [
            text
            for text in texts
            if _called(node.func) in _NAME_LOADERS
            and _PROGRAM.match(text)
            and not re.search(r"\.(so|dll|dylib)\b", text)
        ]
        found = [text[1:] for text in texts if text.startswith(_FOUND)]
        if files:
            self._met(node, LoadKind.FILE, files)
        if plain or found:
            self._met(node, LoadKind.LIBRARY, [*plain, *found])

    def _other_call(
        self, node: ast.Call, name: str, arguments: Sequence[list[str]], first: list[str]
    ) -> None:
        if name == "require_version" and len(arguments) == 2 and arguments[1]:
            names = [f"{one}-{arguments[1][0]}.typelib" for one in first]
            self._met(node, LoadKind.TYPELIB, names)
        elif name == "which" or name in _EXECUTORS:
            self._met(node, LoadKind.PROGRAM, [text for text in first if _PROGRAM.match(text)])
        elif name in _RUNNERS and (name == "Popen" or self._is_of(node.func, _STARTING)):
            self._met(node, LoadKind.PROGRAM, self._started(node))

    def _name_of(self, node: ast.expr) -> str:
        """What is called, by its own name: `from subprocess import run as start` is `run`."""
        if isinstance(node, ast.Name):
            module, attribute = self.scope.imported.get(node.id, ("", ""))
            if module in _KNOWN_MODULES and attribute:
                return attribute
        return _called(node)

    def _is_of(self, node: ast.expr, modules: Iterable[str]) -> bool:
        """Whether a function is one of some modules, as far as its name or its import tell."""
        if isinstance(node, ast.Name):
            return self.scope.imported.get(node.id, ("", ""))[0] in modules
        return any(module in ast.unparse(node) for module in modules)

    def _started(self, node: ast.Call) -> list[str]:
        if not node.args:
            return []
        command = node.args[0]
        if isinstance(command, ast.List | ast.Tuple):
            texts = self.values(command.elts[0]) if command.elts else []
        else:
            texts = [text.split()[0] for text in self.values(command)[:1] if text.split()]
        return [text for text in texts if _PROGRAM.match(text)]

    def _own(
        self, node: ast.Call, arguments: Sequence[list[str]], keywords: Mapping[str | None, list[str]]
    ) -> list[str]:
        """Run a function of the package itself; what it gives back."""
        found = self._function(node.func)
        if found is None:
            return []
        scope, function, is_method = found
        given = _given(function, node, arguments, keywords, skip=is_method)
        key = (id(function), tuple(sorted(given.items())))
        if key in self.run.done or self.depth >= _DEPTH:
            return self.run.done.get(key, [])
        self.run.done[key] = []
        self.run.walked.add(id(function))
        names = {**given, **dict(_defaults(function, given))}
        frame = _Frame(scope.path, function.name, _raises(function.body), names)
        inner = _Walk(self.run, scope, frame, self.reach, self.depth + 1)
        inner.is_called = self.is_called or self.depth > 0
        inner.is_optional = self._is_optional()
        inner.group = f"{self.group}:{self.assigned or node.lineno}"
        inner.may_raise = frame.raises or self.may_raise
        inner.statements(function.body)
        self.run.done[key] = inner.returned
        return inner.returned

    def _function(self, node: ast.expr) -> tuple[_Scope, _Function, bool] | None:
        if isinstance(node, ast.Name):
            return self._by_name(self.scope, node.id, 0)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name):
                module, attribute = self.scope.imported.get(node.value.id, ("", ""))
                full = f"{module}.{attribute}" if attribute else module
                path = self.run.modules.path(full)
                scope = self.run.scope(path) if path else None
                if scope is not None:
                    return self._by_name(scope, node.attr, 0)
                if node.value.id in ("self", "cls") and node.attr in self.scope.functions:
                    return self.scope, self.scope.functions[node.attr], True
            full = ast.unparse(node)
            module, _, name = full.rpartition(".")
            path = self.run.modules.path(module) if re.fullmatch(r"[\w.]+", module) else None
            scope = self.run.scope(path) if path else None
            if scope is not None:
                return self._by_name(scope, name, 0)
        return None

    def _by_name(self, scope: _Scope, name: str, hops: int) -> tuple[_Scope, _Function, bool] | None:
        if name in scope.functions and name not in scope.classes:
            return scope, scope.functions[name], False
        if name in scope.classes:
            for one in scope.classes[name].body:
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    return scope, one, True
            return None
        module, attribute = scope.imported.get(name, ("", ""))
        path = self.run.modules.path(module) if attribute else None
        other = self.run.scope(path) if path and hops < 4 else None
        return self._by_name(other, attribute, hops + 1) if other else None

    # -- what is met

    def _is_optional(self) -> bool:
        """Whether the code goes on when what happens here fails."""
        return self.is_optional or bool(self.swallowed and not self.may_raise)

    def _met(self, node: ast.expr, kind: LoadKind, names: Sequence[str]) -> None:
        names = [name for name in names if name not in _ASKING]
        if not names:
            return
        called = _called(node.func) if isinstance(node, ast.Call) else ""
        reach = self.reach if called or self.reach is not Reach.IMPORT else Reach.USE
        is_silent = kind in (LoadKind.LIBRARY, LoadKind.PROGRAM) and called in ("find_library", "which")
        silent = is_silent and (kind is LoadKind.PROGRAM or not self.may_raise)
        if kind is LoadKind.PROGRAM and self.frame.module not in self.run.used:
            silent = True
        reach = Reach.OPTIONAL if silent or self._is_optional() else reach
        place = self.assigned or ("" if self.is_called else node.lineno)
        group = f"{self.group}:{place}"
        event = _Event(self.frame.module, node.lineno, kind, tuple(dict.fromkeys(names)), reach, group)
        self.run.events.append(event)


def _filled(place: re.Pattern[str], text: str, one: str) -> str:
    return place.sub(lambda match: one, text)


def _range(node: ast.Call) -> list[str]:
    """The numbers of a short range, as texts."""
    bounds = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, int)]
    if len(bounds) != len(node.args) or not 1 <= len(bounds) <= 2:
        return []
    return [str(number) for number in range(*bounds)[:_LONGEST_RANGE]]


def _is_list(node: ast.expr) -> bool:
    """Whether an expression is a list for certain: one that stands there, or a sum with one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _is_list(node.left) or _is_list(node.right)
    return isinstance(node, ast.List | ast.Tuple | ast.ListComp)


def _called(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id.lstrip("_") if isinstance(node, ast.Name) else ""


def _given(
    function: _Function,
    node: ast.Call,
    arguments: Sequence[list[str]],
    keywords: Mapping[str | None, list[str]],
    *,
    skip: bool,
) -> dict[str, tuple[str, ...]]:
    """The texts that a call gives to a function's parameters."""
    parameters = [one.arg for one in [*function.args.posonlyargs, *function.args.args]]
    if skip or (parameters and parameters[0] in ("self", "cls")):
        parameters = parameters[1:]
    given = {name: tuple(texts) for name, texts in zip(parameters, arguments, strict=False) if texts}
    if function.args.vararg is not None and len(arguments) > len(parameters):
        rest = [text for part in arguments[len(parameters) :] for text in part]
        given[function.args.vararg.arg] = tuple(rest)
    given.update({name: tuple(texts) for name, texts in keywords.items() if name and texts})
    return given
