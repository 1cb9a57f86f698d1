"""The view: the state of every task, read from Kafka's topics into a file that may be deleted at any time."""
