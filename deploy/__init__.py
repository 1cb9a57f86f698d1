"""What the container images and operators need beside the services."""
