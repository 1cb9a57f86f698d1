"""Which test runs each command of the documents, and why the others are run by none.

`test_documented_commands.py` fails for a command that is in no table here, and for an entry that no page has.
"""

from dataclasses import dataclass

from tests.support.documents import PAGES, fences, name_of


@dataclass(frozen=True)
class RunBy:
    """`proof` is the text by which the test file runs the command. File names are unique in tests/."""

    test_file: str
    proof: str


@dataclass(frozen=True)
class NotRun:
    """No test runs the command, for this reason."""

    why: str


# As they are written, page by page, beside the stack that `./start_local.sh` has started.
IN_THE_STACK = RunBy("test_local_commands.py", "in_the_stack(page)")
# As they are written, in the project that runs under a Docker engine.
IN_COMPOSE = RunBy("test_compose_stack.py", "in_compose()")
IN_COMPOSE_STORY = "test_compose_stack.py"
LOCAL_COMMANDS = "test_local_commands.py"
REPLAYS = "test_deadletter_replay.py"

_DOWNLOADS = "downloads packages; the tests' set-up and the Dockerfile install the same pinned files"
_RIGHTS = RunBy("test_kafka_sasl.py", 'documents.block("docs/production.md", "kafka-acls.sh")')
_ITSELF = NotRun("it is the command that runs this test")
_ADMIN = NotRun("the stack's user is no administrator; test_console_admin.py and its neighbours ask the same")
_GPU = "it needs an NVIDIA GPU, which the tests' machine has not"

_CURL = "curl -u admin:password http://127.0.0.1:8000/tasks/$TASK"
_DEMO_TASK = (
    '{"audio": "http://127.0.0.1:8765/audio_example.mp3", "hook_url": "http://127.0.0.1:8765/callback"}'
)
_UVR_ID = "grep -o '[0-9a-f-]\\{36\\}')"
_PIP = "pip install --no-deps --require-hashes"

README = {
    "git clone ADDRESS uvr-api && cd uvr-api": NotRun("the address is that of your copy of the repository"),
    "./start_local.sh demo": RunBy(LOCAL_COMMANDS, 'made.run("demo")'),
    "./start_local.sh status": RunBy(LOCAL_COMMANDS, 'stack.run("status")'),
    "./start_local.sh stop": RunBy(LOCAL_COMMANDS, 'stack.run("stop")'),
    "./start_local.sh uninstall": RunBy("test_local_uninstall.py", "./start_local.sh uninstall"),
    "./start_local.sh exec uvr submit song.mp3 https://example.com/song.mp3 --download stems": IN_THE_STACK,
    "ls stems/*": IN_THE_STACK,
    "./start_local.sh exec uvr list": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/generate -F audio=@song.mp3 -F stems=vocals": IN_THE_STACK,
    "TASK=$(curl -s -u admin:password http://127.0.0.1:8000/generate "
    f'-d \'{{"audio": "https://example.com/song.mp3"}}\' | {_UVR_ID}': IN_THE_STACK,
    "curl -N -u admin:password http://127.0.0.1:8000/tasks/$TASK/events": IN_THE_STACK,
    _CURL: IN_THE_STACK,
}

API = {
    'curl -H "Authorization: Bearer $UVR_API_KEY" http://127.0.0.1:8000/tasks': RunBy(
        "test_accounts.py", 'f"Bearer {key}"'
    ),
    "TASK=$(curl -s -u admin:password http://127.0.0.1:8000/generate -H 'Idempotency-Key: order-17' "
    f"-d '{_DEMO_TASK}' | {_UVR_ID}": IN_THE_STACK,
    'curl -u admin:password "http://127.0.0.1:8000/tasks?state=succeeded&limit=10"': IN_THE_STACK,
    f"{_CURL}/deliveries": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/generate -H 'Prefer: wait=60' "
    """-d '{"audio": "http://127.0.0.1:8765/audio_example.mp3"}'""": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/hooks/test "
    """-d '{"hook_url": "http://127.0.0.1:8765/callback"}'""": IN_THE_STACK,
    "BATCH=$(curl -s -u admin:password http://127.0.0.1:8000/batches "
    """-d '{"items": [{"audio": "http://127.0.0.1:8765/audio_example.mp3"}, """
    """{"audio": "http://127.0.0.1:8765/audio_example.mp3", "label": "Again"}], """
    """"defaults": {"cancel_after_s": 3600}, "hook_url": "http://127.0.0.1:8765/callback"}' """
    """| grep -o '"batch_uuid":"[^"]*' | cut -c 15-)""": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/batches/$BATCH": IN_THE_STACK,
    "UPLOAD=$(curl -s -u admin:password http://127.0.0.1:8000/uploads "
    """-d '{"filename": "song.mp3", "bytes": '$(stat -c %s song.mp3)'}')""": IN_THE_STACK,
    """curl -T song.mp3 "$(echo "$UPLOAD" | grep -o '"url":"[^"]*' | cut -c 8-)\"""": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/generate "
    """-d "{\\"audio\\": \\"$(echo "$UPLOAD" | grep -o 'upload:[0-9a-f-]*')\\"}\"""": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/generate -F audio=@song.mp3 "
    """-F 'output={"format": "mp3"}' -F hook_url=http://127.0.0.1:8765/callback""": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/presets": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/models": IN_THE_STACK,
    "curl -X POST -u admin:password http://127.0.0.1:8000/tasks/$TASK/redeliver": IN_THE_STACK,
    "curl -OJ -u admin:password http://127.0.0.1:8000/tasks/$TASK/archive.zip": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/tasks/$TASK/peaks.json": IN_THE_STACK,
    "curl -X DELETE -u admin:password http://127.0.0.1:8000/tasks/$TASK": IN_THE_STACK,
    "curl -u admin:password http://127.0.0.1:8000/usage": IN_THE_STACK,
    'curl -u admin:password "http://127.0.0.1:8000/queue?hours=24"': _ADMIN,
    'curl -u admin:password "http://127.0.0.1:8000/failures?hours=24"': _ADMIN,
    'curl -u admin:password "http://127.0.0.1:8000/users?limit=200"': _ADMIN,
    'curl -u admin:password "http://127.0.0.1:8000/dead-letters?code=http_error&limit=50"': _ADMIN,
    "curl -u admin:password http://127.0.0.1:8000/dead-letters/3/17": _ADMIN,
    "curl -u admin:password http://127.0.0.1:8000/dead-letters/replay "
    """-d '{"ids": ["3/17", "0/4"]}'""": _ADMIN,
    "curl -X POST -u admin:password http://127.0.0.1:8000/tasks/$TASK/cancel": RunBy(
        LOCAL_COMMANDS, 'documents.command("docs/api.md", "/cancel")'
    ),
}

_DEMO_SUBMISSION = "./start_local.sh exec uvr submit http://127.0.0.1:8765/audio_example.mp3"

CHOOSING = {
    "./start_local.sh exec uvr presets": IN_THE_STACK,
    f'{_DEMO_SUBMISSION} --start 5 --duration 5 --label "A try"': IN_THE_STACK,
    f"{_DEMO_SUBMISSION} --format wav --bit-depth 24 --sample-rate source": IN_THE_STACK,
}

CLIENT = {
    "pip install ./client": RunBy("test_client_package.py", 'build("wheel", source, target)'),
    f"{_PIP} -r requirements-client.txt": NotRun(_DOWNLOADS),
    "cd client && python -m uvr_client --help": IN_THE_STACK,
    "./start_local.sh exec uvr submit http://127.0.0.1:8765/audio_example.mp3 "
    "--hook http://127.0.0.1:8765/callback --wait": IN_THE_STACK,
    "TASK=$(./start_local.sh exec uvr submit http://127.0.0.1:8765/audio_example.mp3)": IN_THE_STACK,
    "./start_local.sh exec uvr watch $TASK --download stems": IN_THE_STACK,
    "./start_local.sh exec uvr status $TASK": IN_THE_STACK,
    "./start_local.sh exec uvr list --state succeeded --since 2h --json": IN_THE_STACK,
    f'{_DEMO_SUBMISSION} --stems vocals --format flac --label "Artist - Title"': IN_THE_STACK,
    "./start_local.sh exec uvr list --label Artist": IN_THE_STACK,
}

LOCAL = {
    "./start_local.sh": RunBy(LOCAL_COMMANDS, "restarted = stack.run()"),
    "./start_local.sh logs processor": IN_THE_STACK,
    "./start_local.sh uninstall --yes": RunBy(LOCAL_COMMANDS, 'stack.run("uninstall", "--yes")'),
    "./start_local.sh exec python -m common.lag": IN_THE_STACK,
}

DOCKER = {
    "docker compose up -d --build --wait": RunBy(IN_COMPOSE_STORY, 'made.up("--build")'),
    "docker compose ps": IN_COMPOSE,
    "docker compose logs processor": IN_COMPOSE,
    "docker compose exec -T processor grep rebalance logs/processor.log": RunBy(
        IN_COMPOSE_STORY, 'documents.command("docs/docker.md", "grep rebalance")'
    ),
    "docker compose exec -T uploader python -m common.lag": IN_COMPOSE,
    "docker compose exec -T uploader python -m common.deadletter list": IN_COMPOSE,
    "docker compose up -d --scale processor=3 --no-recreate": RunBy(
        IN_COMPOSE_STORY, 'stack.up("--scale", "processor=3", "--no-recreate")'
    ),
    "docker compose restart kafka": RunBy(IN_COMPOSE_STORY, 'compose("restart", "kafka")'),
    "docker compose stop": RunBy(IN_COMPOSE_STORY, 'compose("stop")'),
    "docker compose down": RunBy(IN_COMPOSE_STORY, 'compose("down")'),
    "docker compose down --volumes": RunBy(IN_COMPOSE_STORY, 'compose("down", "--volumes")'),
    "docker compose up -d --wait --force-recreate api": RunBy(
        IN_COMPOSE_STORY, 'compose("up", "-d", "--wait", "--force-recreate", "api")'
    ),
    "docker compose up -d --build --no-deps api processor uploader": NotRun(
        "it needs a Kafka and a store outside Compose; test_compose_file.py checks those settings"
    ),
    "docker buildx imagetools inspect apache/kafka:4.3.1": NotRun(
        "it asks a registry, which no test reaches"
    ),
}

MONITORING = {
    "./start_local.sh exec python -m common.deadletter list": IN_THE_STACK,
    "python -m common.deadletter list --since 2h": IN_THE_STACK,
    "python -m common.deadletter show 3/17": RunBy(REPLAYS, '"show", str(found)'),
    "python -m common.deadletter replay 3/17": RunBy(REPLAYS, '"replay", str(found)'),
    "python -m common.deadletter replay --since 3d --dry-run": RunBy(REPLAYS, '"--dry-run"'),
}

_BACKUP = RunBy(IN_COMPOSE_STORY, 'documents.block("docs/production.md", "tar cSzf")')
_RESTORE = RunBy(IN_COMPOSE_STORY, 'documents.block("docs/production.md", "tar xzf")')
_UPGRADE = "test_an_upgrade_leaves_kafka_and_the_store runs `docker compose up --build`"

PRODUCTION = {
    **{
        f"{_PIP} --only-binary :all: -r requirements-{name}.txt && python -m {name}": NotRun(
            f"{_DOWNLOADS}, and tests start each service by `python -m`"
        )
        for name in ("api", "uploader", "processor")
    },
    "python -m processor models list": IN_THE_STACK,
    "python -m processor models fetch htdemucs_ft": NotRun(
        "it asks the model hub; test_models_fetch.py fetches from a stand-in for it"
    ),
    "python -m processor models prepare spleeter-2stems": IN_THE_STACK,
    "python -m processor models add my-roformer.ckpt --config my-roformer.yaml": NotRun(
        "it needs a model file of the reader's; test_models_fetch.py adds a small one"
    ),
    "python -m processor models check": IN_THE_STACK,
    'acls="kafka-acls.sh --bootstrap-server HOST:PORT --command-config admin.properties --add '
    '--allow-principal User:uvr --resource-pattern-type prefixed"': _RIGHTS,
    "$acls --topic uvr_ --operation Create --operation Read --operation Write": _RIGHTS,
    "$acls --group uvr_ --operation Read": _RIGHTS,
    "$acls --transactional-id uvr_ --operation Write": _RIGHTS,
    "docker compose up -d --scale processor=2": NotRun(_GPU),
    "./start_local.sh exec env WORKER_ID=second HEALTH_PORT=8111 LOG_DIR=logs/second CUDA_VISIBLE_DEVICES=1 "
    "python -m processor": RunBy(
        LOCAL_COMMANDS, 'documents.command("docs/production.md", "WORKER_ID=second")'
    ),
    "git pull && docker compose up -d --build --wait": NotRun(f"it needs a remote; {_UPGRADE}"),
    "docker compose up -d --build -t 915": NotRun(f"the time-out is Docker's own option; {_UPGRADE}"),
    "for v in kafka-data seaweedfs-data store-keys user-keys; do docker run --rm --user 0 --network none -v "
    'uvr_$v:/from:ro -v "$PWD/backup":/to uvr-uploader tar cSzf /to/$v.tgz -C /from . done': _BACKUP,
    "docker compose up -d --wait": _BACKUP,
    "docker compose create --build": _RESTORE,
    'for v in $(docker volume ls -q | grep "^uvr_view"); do docker run --rm --user 0 --network none '
    '-v $v:/view uvr-uploader find /view -name "view.sqlite3*" -delete done': _RESTORE,
    "for v in kafka-data seaweedfs-data store-keys user-keys; do docker run --rm --user 0 --network none "
    '-v uvr_$v:/to -v "$PWD/backup":/from:ro uvr-uploader sh -c "find /to -mindepth 1 -delete && '
    'tar xzf /from/$v.tgz --numeric-owner -C /to" done': _RESTORE,
}

SETTINGS = {
    "python -m api hash-password alice >> users": IN_THE_STACK,
    "docker compose run --rm --no-deps -T api "
    "python -m api hash-password alice < password >> users": IN_COMPOSE,
    "export API_KEYS_FILE=/etc/uvr/api_keys.json": NotRun("the path is the operator's own"),
    'python -m api keys create alice --scopes submit,read --expires 90d --name "nightly import"': RunBy(
        "test_accounts.py", '"create", "alice", "--scopes", "submit,read", "--expires", "90d", "--name"'
    ),
    "python -m api keys list": RunBy("test_accounts.py", 'keys(file, "list")'),
    "python -m api keys revoke 0f3a5c7e9b1d": RunBy("test_accounts.py", 'keys(file, "revoke"'),
    "docker compose exec api python -m api keys create alice": NotRun(
        "the command in the container is the one that test_accounts.py runs"
    ),
}

TESTING = {
    "./run_tests.sh": _ITSELF,
    "./run_tests.sh --all": _ITSELF,
    "./run_tests.sh tests/unit": _ITSELF,
    "tests/gpu/run.sh": NotRun(_GPU),
    "python -m pytest tests/gpu": NotRun(_GPU),
    f"{_PIP} -r requirements-bench.txt": NotRun(_DOWNLOADS),
    "python -m bench": NotRun("its figures need a machine that does nothing else, and a long time"),
    "python -m bench --only engine --device cuda": NotRun(_GPU),
    "python -m bench --only architectures --architectures vr,bs_roformer --models bench-models": NotRun(
        "it takes minutes on two idle cores; test_separating.py measures small networks in the same way"
    ),
    "python -m soak": NotRun("a thousand songs take too long; test_soak.py runs the same command with few"),
}

_FIREWALL = NotRun("it changes the firewall of the host, which no test may")
_GREP = NotRun("an operator's look into a log; tests/crash look for the same words in it")

TOP = {
    "grep rebalance logs/processor.log": _GREP,
    "grep max.poll.interval.ms logs/processor.log": _GREP,
    "curl -s http://127.0.0.1:8001/readyz": IN_THE_STACK,
    **{
        "kafka-consumer-groups.sh --bootstrap-server localhost:9092 --describe "
        f"--group uvr_processor_group{end}": NotRun("the tool comes with a Kafka distribution, not with ours")
        for end in ("", " --members")
    },
    "python -m common.lag": IN_THE_STACK,
    "for net in 10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16; do "
    "iptables -I DOCKER-USER -s 172.18.0.0/16 -d $net -j REJECT done": _FIREWALL,
    "iptables -I DOCKER-USER -s 172.18.0.0/16 -d 172.18.0.0/16 -j RETURN": _FIREWALL,
    "iptables -I INPUT -s 172.18.0.0/16 -m conntrack --ctstate NEW -j REJECT": _FIREWALL,
    "ip6tables -I DOCKER-USER -s fd00:18::/64 ! -d 2000::/3 -j REJECT": _FIREWALL,
    "ip6tables -I DOCKER-USER -s fd00:18::/64 -d fd00:18::/64 -j RETURN": _FIREWALL,
    "ip6tables -I INPUT -s fd00:18::/64 -m conntrack --ctstate NEW -j REJECT": _FIREWALL,
    "for f in requirements-api.txt requirements-uploader.txt requirements-processor.txt; do "
    "pipx run pip-audit --require-hashes --disable-pip -r $f done": NotRun(
        "it asks a database of known holes on the internet, which no test reaches"
    ),
}

CLAIMS: dict[str, RunBy | NotRun] = (
    README | TOP | API | CLIENT | CHOOSING | LOCAL | DOCKER | MONITORING | PRODUCTION | SETTINGS | TESTING
)
# Pages whose `console` blocks are what somebody's terminal showed once.
TRANSCRIPTS = {
    "docs/api.md": NotRun("a recorded session with ids of its own; the page's other commands do the same"),
}


def in_the_stack(page: str) -> list[str]:
    """The commands of a page that are run beside the local stack, in order."""
    return [command for of, command in documented() if of == page and CLAIMS.get(command) == IN_THE_STACK]


def in_compose() -> list[str]:
    """The commands of all pages that are run in the Compose project, each once."""
    return list(dict.fromkeys(c for _, c in documented() if CLAIMS.get(c) == IN_COMPOSE))


def documented() -> list[tuple[str, str]]:
    """Every command of the pages with its page, but for those of transcripts."""
    return [
        (name_of(page), command)
        for page in PAGES
        for fence in fences(page)
        if fence.language != "console"
        for command in fence.commands()
    ]
