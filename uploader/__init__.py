"""The uploader: puts stems into the bucket, and reports results by callbacks."""
