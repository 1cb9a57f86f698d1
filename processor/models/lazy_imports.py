"""Stand-ins for packages that a library imports but, on our way through it, does not use.

onnx2torch alone brings torchvision, seconds of start and 160 MB, for a conversion that MDX models with
their own segment size never need.
"""

import importlib
import sys
from types import ModuleType


class _LazyModule(ModuleType):
    """Gives a function for every name; the first call of one imports the real module."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args, **kwargs):
            return getattr(_import_real(self.__name__), name)(*args, **kwargs)

        return call


def postpone(*names: str) -> None:
    """Makes `import` of these modules free. Only for modules of which nothing but functions is used."""
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = _LazyModule(name)


def _import_real(name: str) -> ModuleType:
    if isinstance(sys.modules.get(name), _LazyModule):
        del sys.modules[name]
    return importlib.import_module(name)
