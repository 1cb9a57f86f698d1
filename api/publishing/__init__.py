"""The way to Kafka: nothing counts as queued before the broker has confirmed it."""
