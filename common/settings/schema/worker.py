"""The settings that processors and uploaders have in common."""

import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from common.settings.schema.addresses import AddressSettings
from common.settings.schema.kafka import TransactionSettings
from common.settings.types import Authorities, Port, Positive

PROCESSOR_GROUP_ID = "uvr_processor_group"
UPLOADER_GROUP_ID = "uvr_uploader_group"


class WorkerSettings(TransactionSettings, AddressSettings):
    """The settings of any worker. A worker's kind gives `health_port` its default."""

    worker_id: str = Field(
        default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$"
    )
    """The worker's name, the same after a restart and unique among workers of its kind. Unset: the host's."""
    kafka_session_timeout_ms: Annotated[int, Field(ge=6000)] = 15000
    """How long a silent worker keeps its partitions, in milliseconds."""
    shutdown_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """How long running jobs may go on after SIGTERM, in seconds."""
    keep_membership: bool = False
    """Whether the worker stays in its group when it stops, for a rolling restart."""
    drain_on_rebalance_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    """How long, in seconds, a running job keeps a partition that another worker is to have. 0: not at all."""
    max_attempts: Positive = 3
    """How often a record is tried whose worker dies each time, before it becomes a dead letter."""
    health_host: str = "127.0.0.1"
    """The address on which /livez, /readyz and /metrics are served."""
    health_port: Port
    """The port on which /livez, /readyz and /metrics are served. 0 takes a free one."""
    outbound_ca_file: Authorities | None = None
    """Certificate authorities of song hosts and receivers beside the public ones, in PEM format."""
    stage: Literal["path", "s3"] = "path"
    """Where stems wait for the uploader: in OUTPUT_DIR (path), or in the bucket (s3)."""
    output_dir: Path = Path("outputs")
    """The stage of STAGE=path: the directory that processors and uploaders share. Unused with STAGE=s3."""
