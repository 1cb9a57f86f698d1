"""What the author of a service needs: records, outcomes, retries and dead letters."""
