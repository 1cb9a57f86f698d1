"""Tells of any error while a model is loaded in one way."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from processor.models.model_files import ModelFiles, ModelUnavailable


@contextmanager
def loading(files: ModelFiles) -> Iterator[None]:
    """Convert any error of the library's loading into ModelUnavailable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub warns that there is no ffmpeg, which nothing here needs
        try:
            yield
        except ModelUnavailable:
            raise
        except (Exception, SystemExit) as error:  # a bad file may raise anything in the library
            reason = str(error)
            if isinstance(error, SystemExit):
                reason = "its file does not fit its configuration, or is damaged"
            raise ModelUnavailable(f"model {files.name} cannot be loaded: {reason}") from error
