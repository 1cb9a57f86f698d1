"""The drawing of the imports: no circle anywhere, and few rooms in common/.

The order of the rooms itself is held by the contracts in pyproject.toml (`lint-imports`).
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest

from tests.support.paths import REPOSITORY

PACKAGES = ["api", "client/uvr_client", "common", "deploy", "local", "processor", "uploader"]
MOST_ROOMS = 13

# kafka-python outside common/kafka/: its errors, and the classes that only carry values.
KAFKA_VALUES = {"ConsumerGroupMetadata", "OffsetAndMetadata", "OffsetSpec", "TopicPartition"}

Graph = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def sources() -> dict[str, ast.Module]:
    """Each module of the product by its name."""
    found = {}
    for folder in (REPOSITORY / name for name in PACKAGES):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(file.read_text(), file)
    return found


@pytest.fixture(scope="module")
def graph(sources: dict[str, ast.Module]) -> Graph:
    """The modules that each module imports, anywhere in its text."""
    return {name: set(imports(tree, sources.keys())) - {name} for name, tree in sources.items()}


def imports(tree: ast.Module, known: Mapping[str, object] | set[str] | frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known or node.module in known:
                    yield inner if inner in known else node.module


def circle(graph: Graph) -> list[str]:
    """The names along one circle, or an empty list where there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if found := walk(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def rooms(graph: Graph, folder: str) -> Graph:
    """The imports among the modules and folders that lie directly in `folder`, which is a package's name."""
    between: dict[str, set[str]] = defaultdict(set)
    for name, targets in graph.items():
        source = room(name, folder)
        for target in (room(target, folder) for target in targets):
            if source and target and source != target:
                between[source].add(target)
    return between


def room(name: str, folder: str) -> str | None:
    """None for what lies elsewhere, and for the folder's own __init__."""
    prefix = folder + "."
    return name.removeprefix(prefix).partition(".")[0] if name.startswith(prefix) else None


def test_no_circle_between_modules(graph):
    assert circle(graph) == []


def test_no_circle_between_rooms(graph):
    folders = {name.rpartition(".")[0] for name in graph} - {""}
    assert {"common", "processor.audio"} <= folders
    circles = {folder: circle(rooms(graph, folder)) for folder in sorted(folders)}
    assert {folder: found for folder, found in circles.items() if found} == {}


def test_common_has_few_rooms(graph):
    names = {room(name, "common") for name in graph} - {None}
    assert {"errors", "kafka", "worker"} <= names
    assert len(names) <= MOST_ROOMS, sorted(names)


def test_every_folder_says_what_it_does(sources, graph):
    folders = {name.rpartition(".")[0] for name in graph} - {""}
    assert {name for name in folders if name not in sources or not ast.get_docstring(sources[name])} == set()


def test_a_circle_is_found():
    graph = {"a.x": {"b.y"}, "b.y": {"b.z"}, "b.z": set(), "b.w": {"a.x"}}
    assert circle(graph) == []
    assert circle({**graph, "b.z": {"a.x"}}) == ["a.x", "b.y", "b.z", "a.x"]
    inner = {"top." + name: {"top." + target for target in targets} for name, targets in graph.items()}
    assert circle(rooms(inner, "top")) == ["a", "b", "a"]


def test_kafka_clients_are_built_in_their_own_room(sources):
    """Elsewhere a client's class is the type of a parameter or a field at most."""
    built = {
        name: clients
        for name, tree in sources.items()
        if not name.startswith("common.kafka.") and (clients := kafka_clients_built(tree))
    }
    assert built == {}


def kafka_clients_built(tree: ast.Module) -> set[str]:
    """The names from `kafka`, beside values and errors, that a module uses as more than a type."""
    imported, uses, types = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "kafka"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kafka":
            if node.module != "kafka.errors":
                imported |= {alias.asname or alias.name for alias in node.names} - KAFKA_VALUES
        elif isinstance(node, ast.Name):
            uses.add(node)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            types |= set(ast.walk(annotation)) if annotation else set()
    return imported & {name.id for name in uses - types}


def test_a_built_client_is_found():
    text = "from kafka import KafkaConsumer as Client\nfrom kafka import TopicPartition\n"
    assert kafka_clients_built(ast.parse(text + "def use(client: Client): TopicPartition('t', 0)")) == set()
    assert kafka_clients_built(ast.parse(text + "def use(clients: list[Client]) -> Client: ...")) == set()
    assert kafka_clients_built(ast.parse(text + "make = partial(Client, group_id=None)")) == {"Client"}
    assert kafka_clients_built(ast.parse(text + "class Own(Client): pass")) == {"Client"}
