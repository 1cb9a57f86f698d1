"""`python -m uploader.bucket_check` checks that the settings' bucket exists and that the keys may use it.

The command ends with 1 and a line on standard error when the bucket is missing or the keys are refused:
waiting would help neither. A store that does not answer is no error here, because the uploader waits for it.
"""

import sys

from common.settings.loading import exit_for_bad_settings, load_or_exit
from common.settings.schema import UploaderSettings
from common.storage.storage_errors import AccessRefused, BucketMissing, StorageError
from uploader.storage import Storage


def main() -> int:
    settings = load_or_exit(UploaderSettings)
    try:
        Storage(settings).check_bucket()
    except (BucketMissing, AccessRefused) as error:
        print(error, file=sys.stderr)
        return 1
    except StorageError:
        return 0
    except ValueError as error:
        exit_for_bad_settings(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
