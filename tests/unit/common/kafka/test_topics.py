"""Topics are created with settings of ours, once, and existing ones are left alone."""

import re
from collections.abc import Mapping

import pytest
from kafka.errors import BrokerResponseError, NoError, TopicAlreadyExistsError, TopicAuthorizationFailedError

from common.kafka import topics
from common.settings.loading import load
from common.settings.schema import KafkaSettings
from tests.support.paths import REPOSITORY


class FakeAdmin:
    """Answers with the error of each name, as kafka-python does where it is not to raise the first."""

    def __init__(self, existing=(), errors: Mapping[str, type[BrokerResponseError]] | None = None):
        self.existing, self.errors = list(existing), errors or {}
        self.created: list = []
        self.requests = 0

    def list_topics(self) -> list[str]:
        return self.existing

    def create_topics(self, new, raise_errors: bool) -> dict:
        assert not raise_errors
        self.requests += 1
        answers = [{"name": t.name, "error_code": self.errors.get(t.name, NoError).errno} for t in new]
        self.created += [topic for topic in new if topic.name not in self.errors]
        return {"topics": [{**answer, "error_message": "so says the broker"} for answer in answers]}


OURS = [
    "uvr_tasks",
    "uvr_results",
    *(f"uvr_tasks_p{priority}" for priority in (5, 4, 2, 1)),
    *(f"uvr_{base}_retry_{delay_s}s" for base in ("tasks", "results") for delay_s in (20, 30, 300, 3600)),
    "uvr_dead_letters",
    "uvr_deliveries",
    "uvr_status",
    "uvr_control",
    "uvr_models",
    "uvr_batches",
]
COMPACTED = ("uvr_status", "uvr_control", "uvr_batches")


@pytest.fixture
def settings() -> KafkaSettings:
    return load(KafkaSettings)


def test_missing_topics_are_created_with_our_settings(settings):
    admin = FakeAdmin()
    topics.ensure(admin, settings)
    assert [topic.name for topic in admin.created] == OURS
    for topic in admin.created:
        assert (topic.num_partitions, topic.replication_factor) == (12, -1)
        if topic.name not in (*COMPACTED, "uvr_models"):
            assert topic.topic_configs == {"cleanup.policy": "delete", "retention.ms": "604800000"}


def test_the_operators_page_lists_every_topic_with_the_configuration_that_we_give_it(settings):
    admin, listed = FakeAdmin(), {}
    topics.ensure(admin, settings)
    page = (REPOSITORY / "docs/production.md").read_text()
    for names, configuration in re.findall(r"^\| (`uvr_.*) \| (`cleanup\.policy.*) \|$", page, re.MULTILINE):
        pairs = [pair.split("=") for pair in re.findall(r"`(.+?)`", configuration)]
        listed |= {name: dict(pairs) for name in re.findall(r"`(.+?)`", names)}
    assert listed == {topic.name: topic.topic_configs for topic in admin.created}


@pytest.mark.parametrize("name", COMPACTED)
def test_what_is_said_of_tasks_is_compacted_and_outlives_them(settings, name):
    admin = FakeAdmin()
    topics.ensure(admin, settings)
    (created,) = [topic for topic in admin.created if topic.name == name]
    expected = {"cleanup.policy": "compact,delete", "retention.ms": str(30 * 24 * 3600 * 1000)}
    assert created.topic_configs == expected
    admin, year_ms = FakeAdmin(), 365 * 24 * 3600 * 1000
    topics.ensure(admin, settings.model_copy(update={"kafka_retention_ms": year_ms}))
    (created,) = [topic for topic in admin.created if topic.name == name]
    assert created.topic_configs["retention.ms"] == str(year_ms)


def test_announcements_are_compacted_and_gone_after_a_day(settings):
    admin = FakeAdmin()
    topics.ensure(admin, settings)
    (created,) = [topic for topic in admin.created if topic.name == "uvr_models"]
    assert created.topic_configs == {"cleanup.policy": "compact,delete", "retention.ms": "86400000",
                                     "segment.ms": "3600000"}  # fmt: skip


def test_the_replication_factor_can_be_given(settings):
    admin = FakeAdmin()
    topics.ensure(admin, settings.model_copy(update={"kafka_replication_factor": 3}))
    assert {topic.replication_factor for topic in admin.created} == {3}


def test_existing_topics_are_left_alone(settings):
    admin = FakeAdmin(existing=["uvr_tasks", "uvr_results", "another"])
    topics.ensure(admin, settings)
    assert [topic.name for topic in admin.created] == OURS[2:]


def test_each_delay_has_its_topics(settings):
    assert topics.names(settings.model_copy(update={"retry_delays_s": (7,)}))[6:8] == (
        "uvr_tasks_retry_7s",
        "uvr_results_retry_7s",
    )


def test_brief_schedules_have_a_topic_where_no_delay_is_as_short(settings):
    named = topics.names(settings.model_copy(update={"retry_delays_s": (3600,)}))
    assert "uvr_tasks_retry_20s" in named
    assert "uvr_results_retry_20s" in named


def test_what_there_is_then_is_told_with_the_topics_of_others(settings):
    admin = FakeAdmin(existing=["another", "uvr_tasks_retry_9s"])
    assert topics.ensure(admin, settings) == {"another", "uvr_tasks_retry_9s", *OURS}


def test_another_service_may_be_faster(settings):
    admin = FakeAdmin(errors={"uvr_tasks": TopicAlreadyExistsError, "uvr_status": TopicAlreadyExistsError})
    assert topics.ensure(admin, settings) == set(OURS)
    assert len(admin.created) == len(OURS) - 2


def test_what_cannot_be_created_is_told(settings):
    admin = FakeAdmin(errors={"uvr_control": TopicAuthorizationFailedError})
    with pytest.raises(TopicAuthorizationFailedError, match=r"topic uvr_control .*so says the broker"):
        topics.ensure(admin, settings)


@pytest.mark.parametrize(("partitions", "requests"), [(12, 1), (2500, 10), (6000, 20)])
def test_one_request_creates_as_many_as_kafka_allows(settings, partitions, requests):
    admin = FakeAdmin()
    topics.ensure(admin, settings.model_copy(update={"kafka_topic_partitions": partitions}))
    assert admin.requests == requests
    assert [topic.name for topic in admin.created] == OURS
