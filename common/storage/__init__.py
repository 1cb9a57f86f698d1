"""Stores stems: in the stage between the services, and in the bucket, with links to its objects."""
