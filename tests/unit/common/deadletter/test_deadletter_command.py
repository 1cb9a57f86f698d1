"""The dead letters' command line is understood, or refused as wrong usage."""

import pytest

from common.deadletter.commands import parse_since, parser
from tests.support.common.deadletter.dead_letters import NOW_S


@pytest.mark.parametrize(
    ("text", "since_s"),
    [
        ("90m", NOW_S - 5400),
        ("3d", NOW_S - 3 * 86400),
        ("2027-01-15", 1_799_971_200.0),
        ("2027-01-15T08:00:00Z", NOW_S),
        ("2027-01-15 08:00", NOW_S),
        ("2027-01-15T10:00:00+02:00", NOW_S),
    ],
)
def test_a_time_is_a_duration_back_or_iso_and_utc_unless_it_says_otherwise(text, since_s):
    assert parse_since(text, NOW_S) == since_s


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--since", "soon"],
        ["list", "--since", "-3d"],
        ["list", "--task", "ddb636dd"],
        ["show", "17"],
        ["show", "3/x"],
        ["replay", "3/17/2"],
        [],
    ],
)
def test_what_is_not_understood_is_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(arguments)
    assert caught.value.code == 2
    assert "usage: python -m common.deadletter" in capsys.readouterr().err
