"""The uploader: stems go to the bucket, results to the callbacks."""
