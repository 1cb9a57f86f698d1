"""What is known of every task: a read model of Kafka's topics in a file that may be deleted at any time."""
