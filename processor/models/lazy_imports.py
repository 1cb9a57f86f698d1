"""Puts stand-ins in place of packages that a library imports but does not use for our models.

onnx2torch alone would cost torchvision's import, seconds at the start and 160 MB. It is for a conversion that
MDX models of their own segment size never need.
"""

import importlib
import importlib.machinery
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _LazyModule(ModuleType):
    """Has a function for every name; calling one imports the real module."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(_import_real(self.__name__), name)(*args, **kwargs)

        return call


def postpone(*names: str) -> None:
    """Make `import` of these modules cost nothing. Only for modules whose functions alone are used."""
    for name in names:
        if name not in sys.modules:
            module = _LazyModule(name)
            # torch asks for the specification of every module that it may trace.
            module.__spec__ = importlib.machinery.ModuleSpec(name, None)
            sys.modules[name] = module
            package, _, last = name.rpartition(".")
            if package in sys.modules:  # an import would set it as well
                setattr(sys.modules[package], last, module)


def _import_real(name: str) -> ModuleType:
    if isinstance(sys.modules.get(name), _LazyModule):
        del sys.modules[name]
    return importlib.import_module(name)
