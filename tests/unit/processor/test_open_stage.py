"""A processor opens the stage of its settings, and loads the store's client only where it needs one."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from common.settings.schema import ProcessorSettings
from common.storage.bucket_stage import BucketStage
from common.storage.stage import LocalStage
from processor.assembly import open_stage, own_directories
from tests.support.paths import REPOSITORY

LOADED = "import sys, processor.run; print('boto3' in sys.modules, 'botocore' in sys.modules)"


def test_a_directory_is_made_and_its_disk_is_watched(tmp_path):
    settings = ProcessorSettings(output_dir=tmp_path / "stage")
    assert isinstance(open_stage(settings), LocalStage)
    assert (tmp_path / "stage").is_dir()
    assert [*own_directories(settings)] == ["temp", "output"]


def test_the_bucket_needs_no_directory(tmp_path):
    settings = ProcessorSettings(stage="s3", s3_bucket_name="stems", output_dir=tmp_path / "stage")
    assert isinstance(open_stage(settings), BucketStage)
    assert not (tmp_path / "stage").exists()
    assert [*own_directories(settings)] == ["temp"]


def test_the_bucket_must_be_named():
    with pytest.raises(ValidationError, match="S3_BUCKET_NAME"):
        ProcessorSettings(stage="s3")


def test_a_processor_without_a_bucket_loads_no_client_of_a_store():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "False False", done.stderr
