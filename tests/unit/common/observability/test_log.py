"""Log files hold the lines that people grep, and no others."""

import logging
import threading

import pytest

from common.observability.log import RateLimit, configure, request_context, task_context


def lines(log_dir, service="api"):
    return (log_dir / f"{service}.log").read_text("utf-8").splitlines()


def test_a_line_has_time_level_logger_and_message_in_the_services_own_file(log_dir):
    configure("processor", log_dir)
    logging.getLogger("some.module").info("File size: %.2f MB", 48.32)
    (line,) = lines(log_dir, "processor")
    assert line.endswith(" INFO some.module File size: 48.32 MB")


def test_it_goes_to_standard_error_as_well(log_dir, capfd):
    configure("api", log_dir)
    logging.getLogger("x").info("hello")
    assert "hello" in capfd.readouterr().err


def test_lines_within_a_task_carry_its_id_and_others_do_not(log_dir):
    configure("api", log_dir)
    with task_context("aaaa"):
        logging.info("inner")
        with task_context("bbbb"):
            logging.info("innermost")
        logging.info("inner again")
    logging.info("outer")
    assert [line.partition("root ")[2] for line in lines(log_dir)] == [
        "[aaaa] inner",
        "[bbbb] innermost",
        "[aaaa] inner again",
        "outer",
    ]


def test_each_thread_has_its_own_task(log_dir):
    configure("api", log_dir)
    both_inside = threading.Barrier(2, timeout=20)

    def work(task):
        with task_context(task):
            both_inside.wait()
            logging.info("of %s", task)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("aaaa", "bbbb")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.partition("root ")[2] for line in lines(log_dir)) == [
        "[aaaa] of aaaa",
        "[bbbb] of bbbb",
    ]


def test_an_exceptions_line_carries_the_task_and_the_traceback_follows(log_dir):
    configure("api", log_dir)
    with task_context("aaaa"):
        try:
            raise ValueError("oops")
        except ValueError:
            logging.exception("failed")
    text = "\n".join(lines(log_dir))
    assert "[aaaa] failed" in text
    assert "ValueError: oops" in text


def test_lines_below_the_level_are_left_out(log_dir):
    configure("api", log_dir, "WARNING")
    logging.info("quiet")
    logging.warning("loud")
    assert [line.rpartition(" ")[2] for line in lines(log_dir)] == ["loud"]


@pytest.mark.parametrize("text", ["…音楽…", "\udcff lone surrogate"])
def test_any_text_can_be_logged_whatever_the_locale(log_dir, text, capfd):
    configure("api", log_dir)
    logging.info("name %s", text)
    assert "name " in lines(log_dir)[0]
    assert "Logging error" not in capfd.readouterr().err


STRANGE = [
    "a\n2026-01-01 00:00:00 INFO forged",
    "a\r\x1b[2J\x07\x00\x7f\x9b",
    "\u202etxt.exe\u202c \u2066\u2069 \u200e\u200f\u061c",
    "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "zero\u200bwidth\ufeff\u00ad \u00a0\u3000",
]


@pytest.mark.parametrize("text", STRANGE)
def test_what_ends_a_line_controls_a_terminal_or_turns_the_direction_is_escaped(log_dir, text, capfd):
    configure("api", log_dir)
    with task_context(text), request_context(text):
        logging.getLogger("x").info("audio %s, callback", text)
    logging.getLogger("kafka.client").error(text)
    read = (log_dir / "api.log").read_bytes().decode()
    assert read.count("\n") == 2
    assert read.replace("\n", "").isprintable()
    assert read == capfd.readouterr().err


@pytest.mark.parametrize("text", STRANGE)
def test_an_errors_own_text_forges_no_line(log_dir, text):
    configure("api", log_dir)
    try:
        raise ValueError(text)
    except ValueError:
        logging.exception("failed")
    first, *others = (log_dir / "api.log").read_bytes().decode().split("\n")
    assert first.endswith("failed")
    assert all(line.startswith("  ") for line in others[:-1])
    assert "".join(others).isprintable()


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_long_message_is_cut(log_dir, format):
    configure("api", log_dir, format=format)
    logging.info("audio %s", "x" * 100_000)
    (line,) = lines(log_dir)
    assert len(line) < 5000
    assert "96006 characters more" in line


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_keys_secret_is_left_out_wherever_it_is(log_dir, format):
    configure("api", log_dir, format=format)
    key = "uvr_0123456789ab_" + "0f" * 24
    try:
        raise ValueError(f"no path: /tasks/{key}")
    except ValueError:
        logging.exception("GET /tasks/%s", key)
    text = "".join(lines(log_dir))
    assert text.count("uvr_0123456789ab_") == 2
    assert "0f0f" not in text


def test_configuring_again_does_not_double_lines(log_dir):
    configure("api", log_dir)
    configure("api", log_dir)
    logging.info("once")
    logging.getLogger("kafka.client").warning("once too")
    assert len(lines(log_dir)) == 2


def test_a_directory_that_cannot_be_made_is_an_error(log_dir):
    log_dir.touch()
    with pytest.raises(OSError, match="logs"):
        configure("api", log_dir)


def test_kafkas_client_is_held_to_a_line_of_each_level_and_others_are_not(log_dir):
    configure("api", log_dir)
    for number in range(100):
        logging.getLogger(f"kafka.part{number}").error("broker away")
        logging.getLogger("api").error("ours")
    text = lines(log_dir)
    assert sum("broker away" in line for line in text) == 1
    assert sum("ours" in line for line in text) == 100


def test_kafkas_chatter_is_left_out(log_dir):
    configure("api", log_dir, "DEBUG")
    logging.getLogger("kafka.cluster").info("chatter")
    assert lines(log_dir) == []


def test_kafkas_lines_carry_the_task_too(log_dir):
    configure("api", log_dir)
    with task_context("aaaa"):
        logging.getLogger("kafka.client").error("broker away")
    assert "[aaaa] broker away" in lines(log_dir)[0]


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def record(level=logging.ERROR, text="broker %s away"):
    return logging.LogRecord("kafka", level, "", 0, text, (1,), None)


def test_a_limit_holds_for_each_level_and_period():
    clock = Clock()
    limit = RateLimit(2, 60, clock)
    assert [limit.filter(record()) for _ in range(3)] == [True, True, False]
    assert limit.filter(record(logging.WARNING))
    clock.now_s = 59.9
    assert not limit.filter(record())
    clock.now_s = 60
    assert [limit.filter(record()) for _ in range(3)] == [True, True, False]


def test_a_line_that_names_another_error_passes_once_however_many_came_before():
    limit = RateLimit(2, 60, Clock())
    noise, reason = "KafkaConnectionError: gone", "SaslAuthenticationFailedError: invalid credentials"
    assert [limit.filter(record(text=f"{noise} %d")) for _ in range(9)] == [True] * 2 + [False] * 7
    assert [limit.filter(record(text=f"{reason} %d")) for _ in range(3)] == [True, False, False]
    assert limit.filter(record(text="[SSL: CERTIFICATE_VERIFY_FAILED] %d"))
    assert not limit.filter(record(text=f"{noise} %d"))


def test_an_error_that_one_level_has_named_is_news_to_none():
    limit = RateLimit(1, 60, Clock())
    noise = "KafkaConnectionError: gone %d"
    assert limit.filter(record(text=noise))
    assert limit.filter(record(logging.WARNING))
    assert not limit.filter(record(logging.WARNING, text=noise))


def test_the_first_line_of_a_period_says_how_many_were_left_out():
    clock = Clock()
    limit = RateLimit(2, 60, clock)
    for _ in range(7):
        limit.filter(record())
    clock.now_s = 60
    first, second = record(), record()
    assert limit.filter(first)
    assert limit.filter(second)
    assert first.getMessage() == "broker 1 away (5 more were left out before)"
    assert second.getMessage() == "broker 1 away"
