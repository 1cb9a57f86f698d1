"""What operators see: logs, health probes and metrics."""
