"""Publishes messages to Kafka: none counts as queued before the broker has confirmed it."""
