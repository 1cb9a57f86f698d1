"""Talks to Kafka through kafka-python: clients with guards, topics, and readers without a group."""
