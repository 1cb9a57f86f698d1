"""Names the stems of a model from its parameters, without loading it."""

from processor.models.model_files import ModelFiles
from processor.separation.loaded_model import stem_name, vocals_residual

_PAIRS = {"Vocals": "Instrumental", "Instrumental": "Vocals"}
_DEMUCS = ("drums", "bass", "other", "vocals")


def of(files: ModelFiles) -> tuple[str, ...]:
    """Return the stems that a song gets, as `LoadedModel.names` has them.

    A Demucs model's own names are in its checkpoints, which are not read here: it gets the usual four.
    """
    if files.architecture == "Demucs":
        own = (*_DEMUCS, "guitar", "piano") if "6s" in files.path.stem else _DEMUCS
        return (*own, "instrumental")  # the rest beside the vocals
    if files.architecture == "MDXC":
        return _configured(files)
    primary = str(files.parameters["primary_stem"])
    return stem_name(primary), stem_name(_other(primary))


def _configured(files: ModelFiles) -> tuple[str, ...]:
    training = files.parameters["training"]
    instruments = [str(name) for name in training["instruments"]]
    target = training.get("target_instrument")
    stems = tuple(stem_name(name) for name in ([str(target)] if target else instruments))
    if residual := vocals_residual(stems):
        return (*stems, residual.name)
    if len(stems) > 1:
        return stems
    others = [stem_name(name) for name in instruments if stem_name(name) not in stems]
    return (*stems, others[0] if len(others) == 1 else stem_name(_other(stems[0].capitalize())))


def _other(primary: str) -> str:
    """Return the name of the rest of the mix, by the rule of the library's CommonSeparator.secondary_stem."""
    return _PAIRS.get(primary) or (primary.replace("No ", "") if "No " in primary else f"No {primary}")
