"""Where stems lie: the stage between the services, the bucket, and links to its objects."""
