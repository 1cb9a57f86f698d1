"""What the services say to each other about tasks: messages, cancels and status."""
