"""The trio with two users, of whom the first has receivers that hang and songs that drip."""

from pathlib import Path

from common.lag import PartitionLag, lags
from common.settings.schema import KafkaSettings
from tests.support import audio
from tests.support.api.api_client import basic
from tests.support.api.task_client import task
from tests.support.api.users import write_users
from tests.support.http_server import ScriptedServer, drip, stall
from tests.support.servers import S3Store
from tests.support.stack import Stack
from tests.support.trio import Trio
from tests.support.waiting import wait_for

PROCESSOR = "tests.support.processor.stand_in_processor"
_PATIENCE_S = 60
_FOR_EVER_S = 3600.0
_FIRST, SECOND = basic("first", "password-1"), basic("second", "password-2")


class Town:
    """The trio with two users, and the first one's receivers, which never answer."""

    def __init__(self, stack: Stack, bootstrap: str, store: S3Store, model_dir: Path, directory: Path):
        users = write_users(directory / "users", admin="password", first="password-1", second="password-2")
        self.hanging = ScriptedServer()
        self.trio = Trio(
            stack,
            bootstrap,
            store,
            model_dir,
            MODEL_NAME="centre",
            ENGINE_SLEEP_S="0",
            BASIC_AUTH_USERS_FILE=str(users),
            ADMIN_USERNAMES="admin",
            CALLBACK_TIMEOUT_S=str(_FOR_EVER_S),
        )
        origins = self.trio.settings["TRUSTED_URL_PREFIXES"]
        self.trio.settings["TRUSTED_URL_PREFIXES"] = f"{origins},{self.hanging.origin}"
        self.song = audio.write(directory / "mix.wav", audio.noise(1.0), subtype="PCM_16").read_bytes()

    @property
    def url(self) -> str:
        return self.trio.services["api"].url

    def hang(self, count: int) -> list[str]:
        """The first user's tasks, each of which ends at a receiver that never answers."""
        hook_url = self.hanging.on("/hang", stall())
        # One in ten has stems; the others fail at once, and a failure's callback hangs as well.
        audios = [
            self.trio.song(self.song) if n % 10 == 0 else f"{self.trio.host.url}/none" for n in range(count)
        ]
        return [self.trio.submit(audio, hook_url, _FIRST) for audio in audios]

    def drip(self, count: int) -> list[str]:
        """The first user's tasks whose songs take for ever to come."""
        audios = [self.trio.song(drip(self.song, _FOR_EVER_S)) for _ in range(count)]
        return [self.trio.submit(audio, headers=_FIRST) for audio in audios]

    def state(self, task_uuid: str) -> str:
        return task(self.url, task_uuid)["state"]

    def wait_for_hanging(self, tasks: list[str]) -> None:
        """Until the first receiver has its callbacks, and every one of the tasks has its result."""
        self.hanging.wait_for_requests(4, _PATIENCE_S)
        for task_uuid in tasks:
            wait_for(lambda t=task_uuid: self.state(t) in ("delivering", "failed"), _PATIENCE_S, "a callback")

    def uploader_lag(self) -> list[PartitionLag]:
        of_kafka = KafkaSettings.model_fields
        given = {
            name.lower(): value for name, value in self.trio.settings.items() if name.lower() in of_kafka
        }
        settings = KafkaSettings(**given)
        return lags(settings, self.trio.settings["KAFKA_UPLOADER_GROUP_ID"], (settings.kafka_result_topic,))

    def close(self) -> None:
        self.hanging.close()
        self.trio.close()
