"""The promises that depend on settings say so, with the times that the defaults give."""

from common.settings.schema import UploaderSettings
from tests.support.paths import REPOSITORY

PAGE = " ".join((REPOSITORY / "docs" / "guarantees.md").read_text().split())


def test_how_long_a_store_and_a_receiver_may_be_away_follows_from_the_defaults():
    fields = UploaderSettings.model_fields
    delays_s, retries = fields["retry_delays_s"].default, fields["callback_retries"].default
    later_s = (retries - len(delays_s)) * delays_s[-1]
    assert f"{sum(delays_s) / 60:.1f} min" in PAGE
    assert round((sum(delays_s) + later_s) / 3600) == 24
    assert "for a day" in PAGE
    assert {"`RETRY_DELAYS_S`", "`CALLBACK_RETRIES`"} <= set(PAGE.replace(",", " ").replace(".", " ").split())
