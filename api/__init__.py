"""The api: it takes submissions and says how far their tasks are."""
