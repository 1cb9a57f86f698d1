"""Links that the api gives for a result: of this moment, and to the same objects as the callback's."""

import asyncio
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from api.links.maker import ResultLinks
from api.links.renewer import LinkRenewer
from api.view.merge import of_task
from common.settings.schema import ApiSettings
from common.storage.links import LinkMaker
from common.tasks.messages import PublishedStem, State, Status, SuccessCallback, Task
from tests.support.api.api_client import ApiClient, basic
from tests.support.s3_descriptions import keep_descriptions

TASK_UUID = UUID(int=1)
STORE = {
    "s3_bucket_name": "stems",
    "s3_endpoint_url": "https://store.example.com",
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "s3_url_expires_s": 600,
}


@pytest.fixture(autouse=True, scope="module")
def one_reading() -> None:
    keep_descriptions()


@pytest.fixture(autouse=True)
def no_credentials_of_the_machine(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def result_with(links: dict[str, str], expires_at: float | None = 9.0) -> SuccessCallback:
    stems = {n: PublishedStem(url=u, sha256="0" * 64, bytes=1, duration_s=1.0) for n, u in links.items()}
    named = {name: links.get(name) for name in ("vocals", "instrumental")}
    return SuccessCallback(
        task_uuid=TASK_UUID,
        timestamp=9.0,
        stems=stems,
        model="m",
        device="cpu",
        expires_at=expires_at,
        **named,
    )


def callback_of(*names: str, now_s: float = 0.0, **settings) -> SuccessCallback:
    """As an uploader with these settings has made it."""
    maker = LinkMaker(ApiSettings(**STORE | settings), wall_clock=lambda: now_s)
    links = {name: maker.url(f"a b/{TASK_UUID}/1/{name}.wav") for name in names}
    return result_with({n: link.url for n, link in links.items()}, next(iter(links.values())).expires_at_s)


def over(result: SuccessCallback | None) -> Status:
    task = Task(task_uuid=TASK_UUID, audio="a", hook_url="h", submitted_at=1.0, user="admin")
    return of_task(task).model_copy(update={"state": State.SUCCEEDED, "result": result})


def place(url: str) -> tuple[str, str]:
    """Where a link leads, whoever has signed it and when."""
    parts = urlsplit(url)
    return parts.netloc, parts.path


@pytest.mark.parametrize("style", ["auto", "path", "virtual"])
def test_links_lead_to_the_same_objects_and_are_of_now(style):
    old = callback_of("vocals", "instrumental", "drums", s3_addressing_style=style)
    new = ResultLinks(ApiSettings(**STORE | {"s3_addressing_style": style})).renewed(old)
    for name, stem in new.stems.items():
        assert place(stem.url) == place(old.stems[name].url)
        assert parse_qs(urlsplit(stem.url).query)["X-Amz-Expires"] == ["600"]
    assert (new.vocals, new.instrumental) == (new.stems["vocals"].url, new.stems["instrumental"].url)
    assert new.expires_at > 1_700_000_000 > old.expires_at
    unchanged = {"vocals", "instrumental", "stems", "expires_at"}
    assert new.model_dump(exclude=unchanged) == old.model_dump(exclude=unchanged)
    assert {n: s.sha256 for n, s in new.stems.items()} == {n: s.sha256 for n, s in old.stems.items()}


def test_links_by_temporary_keys_carry_their_session_token():
    new = ResultLinks(ApiSettings(**STORE | {"aws_session_token": "a/token="})).renewed(callback_of("vocals"))
    assert parse_qs(urlsplit(new.vocals).query)["X-Amz-Security-Token"] == ["a/token="]


def test_a_stem_that_has_no_name_of_its_own_in_the_callback_gets_none():
    new = ResultLinks(ApiSettings(**STORE)).renewed(callback_of("drums"))
    assert (new.vocals, new.instrumental, list(new.stems)) == (None, None, ["drums"])


def test_what_moved_to_another_address_is_found_there():
    inside = callback_of("vocals", s3_endpoint_url="http://inside:8333")
    outside = ApiSettings(**STORE | {"s3_presign_endpoint_url": "https://outside.example.com"})
    (stem,) = ResultLinks(outside).renewed(inside).stems.values()
    assert urlsplit(stem.url).hostname == "outside.example.com"
    public = ApiSettings(**STORE | {"s3_public_domain": "cdn.example.com"})
    new = ResultLinks(public).renewed(inside)
    assert new.vocals == f"https://cdn.example.com/a%20b/{TASK_UUID}/1/vocals.wav"
    assert new.expires_at is None


@pytest.mark.parametrize("public", [None, "cdn.example.com", "https://cdn.example.com/uvr/"])
@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("prefix", ["", "old/", "a b/c/"])
def test_the_prefix_of_that_time_is_told_by_a_link(prefix, style, public):
    settings = ApiSettings(**STORE | {"s3_addressing_style": style, "s3_public_domain": public})
    maker = LinkMaker(settings)
    url = maker.url(f"{prefix}{TASK_UUID}/1/vocals.wav").url
    assert maker.prefix(url, TASK_UUID) == prefix
    assert maker.prefix(url, UUID(int=2)) is None
    other = LinkMaker(
        settings.model_copy(update={"s3_bucket_name": "others", "s3_public_domain": "x.example"})
    )
    assert other.prefix(url, TASK_UUID) is None


def test_what_is_in_another_bucket_keeps_its_links():
    elsewhere = callback_of("vocals", s3_bucket_name="another", s3_addressing_style="path")
    assert ResultLinks(ApiSettings(**STORE)).renewed(elsewhere) is elsewhere


# The bucket's name is "stems". Each store, key and style must survive the way there and back.
HOSTS = ("https://store.example.com", "https://stems.example.com", "http://stems.stems.example.com:9000")
KEYS = (f"{TASK_UUID}/1/vocals.wav", f"stems/{TASK_UUID}/1/a b.wav", f"stems/stems/{TASK_UUID}/1/v.wav")


@pytest.mark.parametrize("style", ["auto", "path", "virtual"])
@pytest.mark.parametrize("host", [*HOSTS, None, "http://127.0.0.1:8333"])
def test_a_key_is_read_from_its_own_link_whatever_the_store_is_called(host, style):
    changes = {"s3_endpoint_url": host, "s3_addressing_style": style}
    maker = LinkMaker(ApiSettings(**STORE | changes))
    urls = [maker.url(key).url for key in KEYS]
    assert [maker.key(url) for url in urls] == list(KEYS)
    assert all(map(maker.leads_here, urls))


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("old_host", HOSTS)
def test_a_key_is_read_from_a_link_to_the_stores_former_or_inner_address(old_host, style):
    old = LinkMaker(ApiSettings(**STORE | {"s3_endpoint_url": old_host, "s3_addressing_style": style}))
    urls = [old.url(key).url for key in KEYS]
    moved = {"s3_endpoint_url": "https://stems.elsewhere.example.com", "s3_addressing_style": style}
    assert [LinkMaker(ApiSettings(**STORE | moved)).key(url) for url in urls] == list(KEYS)
    inner = {"s3_endpoint_url": old_host, "s3_presign_endpoint_url": "https://outside.example.com"}
    assert [LinkMaker(ApiSettings(**STORE | inner)).key(url) for url in urls] == list(KEYS)


def test_another_bucket_of_a_store_that_is_called_like_ours_is_another_bucket():
    changes = {"s3_endpoint_url": "https://stems.example.com", "s3_addressing_style": "path"}
    other = LinkMaker(ApiSettings(**STORE | changes | {"s3_bucket_name": "another"}))
    assert LinkMaker(ApiSettings(**STORE | changes)).key(other.url("a.wav").url) is None


@pytest.mark.parametrize(
    "changes",
    [{"aws_access_key_id": None, "aws_secret_access_key": None}, {"s3_endpoint_url": "https://a..b"}],
)
def test_where_no_links_can_be_made_the_callbacks_stay_and_the_log_says_why_once(caplog, changes):
    old = callback_of("vocals")
    links = ResultLinks(ApiSettings(**STORE | changes))
    assert [links.renewed(old), links.renewed(old)] == [old, old]
    assert len([r for r in caplog.records if "links of their callbacks" in r.message]) == 1


class Loads:
    """Counts how often links are made ready."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, settings: ApiSettings) -> ResultLinks:
        self.count += 1
        return ResultLinks(settings)


def renewed(settings: ApiSettings, load: Loads, *statuses: Status) -> list[Status]:
    async def ask() -> list[Status]:
        links = LinkRenewer(settings, load)
        found = await asyncio.gather(*(links.renewed(status) for status in statuses))
        links.close()
        return found

    return asyncio.run(ask())


def test_the_library_is_loaded_once_and_for_links_that_expire_alone():
    load, old = Loads(), over(callback_of("vocals"))
    for_ever, without = over(result_with({"vocals": "https://cdn.example.com/v"}, None)), over(None)
    assert renewed(ApiSettings(**STORE), load, for_ever, without) == [for_ever, without]
    assert renewed(ApiSettings(), load, old) == [old]
    assert load.count == 0
    first, second = renewed(ApiSettings(**STORE), load, old, old)
    assert load.count == 1
    assert first.result.expires_at > old.result.expires_at
    assert second.result.stems.keys() == old.result.stems.keys()


def test_a_task_and_its_last_event_have_links_of_now_and_a_list_the_callbacks():
    client, old = ApiClient(**STORE), over(callback_of("vocals"))
    client.view.tell(old)
    admin, path = basic("admin", "password"), f"/tasks/{TASK_UUID}"
    task = client.request("GET", path, admin).json()
    assert task["result"]["expires_at"] > 1_700_000_000
    assert place(task["result"]["vocals"]) == place(old.result.vocals)
    assert b'"expires_at":600.0' not in client.request("GET", f"{path}/events", admin).body
    (listed,) = client.request("GET", "/tasks", admin).json()["tasks"]
    assert listed["result"]["vocals"] == old.result.vocals
