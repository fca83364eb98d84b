"""Stand-ins for pywin32's modules, which have what its stubs name and nothing else, and note how they were called."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Callable
from typing import Any

from afilsql.service.win32 import Win32


class Refused(Exception):
    """What pywin32 raises."""

    def __init__(self, winerror: int) -> None:
        super().__init__(winerror)
        self.winerror = winerror
        self.strerror = "no"


def _stub(module: str) -> ast.Module:
    files = importlib.metadata.files("types-pywin32") or []
    named = [f for f in files if f.name == f"{module}.pyi"]
    # The package has a short file that passes on to the real one: take the longest.
    return max((ast.parse(f.read_text()) for f in named), key=lambda tree: len(tree.body))


class Module:
    """One module. A constant is a bit of its own; a function notes its call and does what `does` says.

    Attributes:
        calls: (name, arguments) of each call, in order.
        does: What a function does, by its name.
    """

    __file__ = r"C:\pywin32\module.pyd"

    def __init__(self, name: str) -> None:
        tree = _stub(name)
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.does: dict[str, Callable[..., Any]] = {}
        self._functions = {n.name: n.args for n in tree.body if isinstance(n, ast.FunctionDef)}
        constants = [n.target.id for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        self._constants = {name: 1 << bit for bit, name in enumerate(constants)}
        self.error = Refused

    def __getattr__(self, name: str) -> Any:
        if name in self._constants:
            return self._constants[name]
        if name not in self._functions:
            raise AttributeError(f"pywin32 has no {name}")

        def call(*arguments: Any) -> Any:
            takes = self._functions[name]
            most = len(takes.posonlyargs) + len(takes.args)
            assert most - len(takes.defaults) <= len(arguments) <= most, f"{name} takes {most} arguments"
            self.calls.append((name, arguments))
            return self.does.get(name, lambda *_: f"<{name}>")(*arguments)

        return call

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of a function."""
        return [arguments for called, arguments in self.calls if called == name]


def pywin32() -> Win32:
    """Return stand-ins."""
    return Win32(*(Module(name) for name in ("win32service", "servicemanager", "win32evtlogutil")))
