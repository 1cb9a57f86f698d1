"""One reader of botocore's descriptions of services for all clients that tests make in a process.

Each session of boto3 would list and read them anew: a third of the time in which a client is made.
"""

from botocore import loaders, session


def install() -> None:
    shared = loaders.create_loader()
    session.create_loader = lambda data_path=None: shared
