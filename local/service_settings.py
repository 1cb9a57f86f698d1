"""Lists the environment variables that the services read."""

from pydantic import AliasChoices

from common.settings.schema import ApiSettings, KafkaSettings, ProcessorSettings, UploaderSettings

BY_KIND: dict[str, type[KafkaSettings]] = {
    "api": ApiSettings,
    "processor": ProcessorSettings,
    "uploader": UploaderSettings,
}

# The processors' keys to a store elsewhere, by the names of the settings that they become.
PROCESSOR_KEYS = {
    f"PROCESSOR_{name}": name
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE")
}


def names(*kinds: str) -> set[str]:
    """Returns the variables that the services of `kinds` read; without `kinds`, those of all services."""
    settings = [BY_KIND[kind] for kind in kinds or BY_KIND]
    return {variable_name(kind, name) for kind in settings for name in kind.model_fields}


def path_names() -> set[str]:
    """Returns the variables whose values are paths."""
    return {
        variable_name(kind, name)
        for kind in BY_KIND.values()
        for name, field in kind.model_fields.items()
        if "Path" in str(field.annotation)
    }


def variable_name(kind: type[KafkaSettings], field_name: str) -> str:
    """Returns the variable that sets a field of `kind`."""
    alias = kind.model_fields[field_name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else field_name.upper()
