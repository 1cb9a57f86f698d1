"""Tests deploy/alerts.yml as Prometheus reads it. tests/integration/test_metrics.py tests its metrics."""

import re

import pytest
import yaml

from common.settings.schema import ProcessorSettings, UploaderSettings
from tests.support.deploy.alerts import DEPLOY, rules, selectors
from tests.support.deploy.compose import load
from tests.support.paths import REPOSITORY

MONITORING = (REPOSITORY / "docs" / "monitoring.md").read_text()


@pytest.mark.parametrize("name", rules())
def test_an_alert_can_be_evaluated_and_says_what_is_wrong_and_what_to_do(name: str):
    rule = rules()[name]
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert selectors(rule["expr"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    assert rule["annotations"].keys() == {"summary", "description"}


def test_what_an_operator_must_hear_of_has_an_alert():
    watched = {selector.name for rule in rules().values() for selector in selectors(rule["expr"])}
    assert watched >= {
        "uvr_jobs_total",
        "uvr_dead_letters_total",
        "uvr_consumer_lag_records",
        "uvr_ready",
        "uvr_engine_busy_seconds_total",
        "uvr_disk_free_bytes",
        "uvr_rebalances_total",
    }


@pytest.mark.parametrize("expression", ["sum by (service (x)", "rate(x)[5m]", "x{a=b}"])
def test_an_expression_that_prometheus_would_refuse_is_seen(expression: str):
    with pytest.raises(ValueError, match=r".+"):
        selectors(expression)


def test_the_example_scrapes_each_service_where_it_listens_in_compose():
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    api, processor, uploader = config["scrape_configs"]
    assert api["static_configs"] == [{"targets": ["api:8000"]}]
    for job, name, kind in (
        (processor, "processor", ProcessorSettings),
        (uploader, "uploader", UploaderSettings),
    ):
        (found,) = job["dns_sd_configs"]
        assert (found["names"], found["port"]) == ([name], kind.model_fields["health_port"].default)
        assert "default" in load({})["services"][name]["networks"]
    assert config["rule_files"] == ["alerts.yml"]
    assert "deploy/alerts.yml" in MONITORING
    assert "deploy/prometheus.yml" in MONITORING
