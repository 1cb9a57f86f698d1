"""Loads and runs the networks of audio-separator's architectures, with a module for each."""

from processor.models import lazy_imports

# SciPy's import takes every name of numpy, and this one takes a quarter of a second.
lazy_imports.postpone("numpy.f2py")
