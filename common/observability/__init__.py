"""Shows operators how a service is: by logs, health probes and metrics."""
