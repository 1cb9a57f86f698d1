"""`python -m tests.support.local.first_request` prints where a service first asks for the store."""

import boto3
from botocore.awsrequest import AWSPreparedRequest

from common.settings.schema import UploaderSettings
from common.storage.s3_client import make_client


def main() -> None:
    settings = UploaderSettings()
    times = {"connect_timeout": 1, "read_timeout": 1, "tries": 1}
    client = make_client(boto3.session.Session(), settings, settings.s3_endpoint_url, **times)
    client.meta.events.register("before-send", _print)
    client.head_bucket(Bucket=settings.s3_bucket_name)


def _print(request: AWSPreparedRequest, **_: object) -> None:
    raise SystemExit(print(request.url))


if __name__ == "__main__":
    main()
