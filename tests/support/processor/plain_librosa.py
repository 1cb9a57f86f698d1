"""librosa's functions as Python, in the processes of the tests: the same sums, and nothing to compile.

In a fresh environment Numba compiles a dozen of them when librosa is imported, and two more for a spectrum
and back. That takes 20 s of CPU, and the tests call the latter alone, on songs of seconds.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_DECORATORS = ("jit", "vectorize", "guvectorize")


def install() -> None:
    """Must come before whatever imports Numba."""
    assert "numba" not in sys.modules
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds Numba once, and replaces its decorators when it has been imported."""

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "numba":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("numba")
        if spec and spec.loader:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run(module)
                for name in _DECORATORS:
                    setattr(module, name, _without_librosa(getattr(module, name)))

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _without_librosa(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a decorator that leaves librosa's functions as they are."""

    def decorate(*options: Any, **named: Any) -> Any:
        if options and callable(options[0]):  # used without options, as `@jit`
            return options[0] if _is_librosas(options[0]) else decorator(*options, **named)
        return lambda function: function if _is_librosas(function) else decorator(*options, **named)(function)

    return decorate


def _is_librosas(function: Callable[..., Any]) -> bool:
    return function.__module__.startswith("librosa.")
