import random
from types import SimpleNamespace

import pytest

from api.view.view import KafkaView
from bench import part_choices
from bench.lanes import longest_wait
from bench.part_scaling import steady_rate
from bench.part_service import busy_share
from bench.part_view import left_to_read
from bench.report import Row, Target, compare, table
from bench.setup import QUICK, Bench


def test_a_target_is_met_on_its_limit():
    assert Target("at least", 2.5).met(2.5)
    assert not Target("at least", 2.5).met(2.49)
    assert Target("at most", 1.1).met(1.1)
    assert not Target("at most", 1.1).met(1.11)


def test_a_comparison_says_how_many_times_the_other_ours_is():
    row = compare("p", "w", "s", 3.0, 12.0, "rival", Target("at most", 0.25))
    assert row.figure == 0.25
    assert row.verdict == "pass"


def test_the_table_names_what_was_missed_and_aligns_its_columns():
    rows = [
        Row("one", "quick", "s", 0.123, 0.123, load=1.0),
        compare("two", "slow", "s", 1234.5, 1000.0, "rival", Target("at least", 7)),
    ]
    heading, first, second = table(rows).splitlines()
    assert "0.123 s" in first
    assert "1234 s" in second
    assert "MISSED" in second
    assert "MISSED" not in first
    assert second.index("MISSED") > heading.index("target")
    assert first.index("quick") == second.index("slow") == heading.index("what")


def test_busy_is_the_share_from_the_first_begin_to_the_last_end():
    assert busy_share([(10.0, 14.0), (15.0, 20.0)]) == pytest.approx(0.9)
    assert busy_share([(15.0, 20.0), (10.0, 15.0)]) == pytest.approx(1.0)


def test_the_steady_rate_is_that_of_the_time_in_which_all_have_work():
    early = [(float(s), s + 1.0) for s in range(0, 10)]
    late = [(s + 3.5, s + 4.5) for s in range(0, 10)]
    assert steady_rate([early]) == pytest.approx(1.0)
    assert steady_rate([early, late]) == pytest.approx(2.0)


def test_gaps_between_jobs_lower_the_steady_rate():
    assert steady_rate([[(0.0, 1.0), (1.5, 2.5), (3.0, 4.0)]]) == pytest.approx(3 / 4)


def test_workers_that_were_never_busy_together_have_no_rate():
    with pytest.raises(ValueError, match="never all busy"):
        steady_rate([[(0.0, 1.0)], [(2.0, 3.0)]])


def test_the_longest_wait_of_a_lane_is_in_starts_and_ends_with_its_own():
    begun = ["p5", "p5", "p1", "p5", "p5", "p5", "p1", "p5"]
    assert longest_wait(begun, "p1") == 4
    assert longest_wait(begun, "p4") == 8


def test_how_a_model_is_computed_is_noted_once(tmp_path):
    bench = Bench(QUICK, tmp_path, tmp_path, random.Random(0), "cpu")
    for _ in range(2):
        bench.note_computed("engine", "m", "openvino bf16")
    bench.note_computed("memory", "m", "onnxruntime fp32")
    assert bench.notes == [
        "engine: the engine computes m by openvino bf16",
        "memory: the engine computes m by onnxruntime fp32",
    ]


def test_an_ensemble_and_its_models_take_turns_and_begin_warm(tmp_path, monkeypatch):
    monkeypatch.setattr(part_choices, "_measured", lambda work: (work(), (1.0, 2.0))[1])
    bench = Bench(QUICK, tmp_path, tmp_path, random.Random(0), "cpu")
    done: list[str] = []
    found = part_choices.ensemble_turns(
        bench, lambda songs: done.append("".join(songs)), lambda: done.append("warm"), ["a", "b"], "ab!", 8
    )
    assert done[::2] == ["warm"] * 16
    turns = done[1::2]
    assert turns.count("ab") == turns.count("ab!") == 8
    assert {tuple(sorted(turns[at : at + 2])) for at in range(0, 16, 2)} == {("ab", "ab!")}
    assert set(turns[::2]) == {"ab", "ab!"}
    assert (found.together_s, found.alone_s, found.together_mb) == ([1.0] * 8, [1.0] * 8, [2.0] * 8)


def test_the_view_says_how_much_it_has_left_to_read():
    behind = SimpleNamespace(silent_s=0.0, caught_up=False, behind=1234)
    view = SimpleNamespace(_read_position=behind, _feed=SimpleNamespace(reason=None))
    assert left_to_read(KafkaView.check(view).detail) == 1234
    behind.caught_up = True
    assert left_to_read(KafkaView.check(view).detail) == left_to_read("") == 0
