"""Tests of the platform in Python code, and what they give on Linux.

Owns `decided` and the texts that name this platform. A test of anything else is not decided.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import MappingProxyType


def literal(node: ast.expr) -> tuple[str, ...]:
    """The texts that an expression holds as they stand there."""
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) else ()
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return tuple(text for one in node.elts for text in literal(one))
    return ()


_HERE = {"sys.platform": "linux", "os.name": "posix", "platform.system()": "Linux", "sys.byteorder": "little"}


_PLATFORMS = (("linux",), ("Linux",), ("posix",))
Names = Mapping[str, tuple[str, ...]]


def decided(test: ast.expr, names: Names = MappingProxyType({})) -> bool | None:
    """What a test of the platform gives on Linux; None for any other test. `names` are what is known."""
    text = ast.unparse(test) if isinstance(test, ast.Compare | ast.Call | ast.Name | ast.Attribute) else ""
    if text in ("TYPE_CHECKING", "typing.TYPE_CHECKING") or text.startswith("__name__ =="):
        return False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = decided(test.operand, names)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        parts = [decided(value, names) for value in test.values]
        if isinstance(test.op, ast.And):
            return False if False in parts else True if all(parts) else None
        return True if True in parts else False if all(part is False for part in parts) else None
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compared(test, names)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.args:
        here = platform_text(test.func.value, names)
        if here is not None and test.func.attr == "startswith":
            return any(here.startswith(text) for text in literal(test.args[0]))
    return None


def _compared(test: ast.Compare, names: Names) -> bool | None:
    left, right = platform_text(test.left, names), platform_text(test.comparators[0], names)
    operator = test.ops[0]
    if right is not None and left is None and isinstance(operator, ast.In):
        wanted = literal(test.left)
        return any(text in right for text in wanted) if wanted else None
    if left is None:
        return None
    wanted = literal(test.comparators[0])
    if not wanted:
        return None
    if isinstance(operator, ast.Eq | ast.In):
        return left in wanted
    if isinstance(operator, ast.NotEq | ast.NotIn):
        return left not in wanted
    return None


def platform_text(node: ast.expr, names: Names = MappingProxyType({})) -> str | None:
    """What an expression says of this platform: `linux` for `sys.platform`; None for another one."""
    if isinstance(node, ast.Name) and names.get(node.id, ()) in _PLATFORMS:
        return names[node.id][0]
    text = ast.unparse(node)
    lowered = text.removesuffix(".lower()")
    if lowered in _HERE:
        return _HERE[lowered].lower() if lowered != text else _HERE[lowered]
    return {"platform": "linux", "_platform": "linux", "system()": "Linux"}.get(text)
