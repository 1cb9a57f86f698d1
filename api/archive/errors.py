"""The errors of whoever reads the bucket."""


class BucketUnavailable(Exception):
    """The bucket cannot be read: there is no store, no bucket or no key for it."""


class ObjectBroken(Exception):
    """An object is not there, or ended before all of its bytes had come."""
