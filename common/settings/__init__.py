"""Settings: the schema, how they are read from the environment, and what commands share."""
