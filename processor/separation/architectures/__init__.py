"""Loads and runs the networks of audio-separator's architectures, with a module for each."""

import numpy  # noqa: F401 - before its part is postponed, which it would else not find

from processor.models import lazy_imports

# SciPy's import takes every name of numpy, and this one takes a quarter of a second.
lazy_imports.postpone("numpy.f2py")
