"""Reads the ports of the local stack from its settings and checks them."""

from collections.abc import Mapping

from local.errors import LocalError

_LAST_PORT = 65535
# The settings that change ports of the local stack, with the defaults.
PORTS = {
    "API_PORT": 8000,
    "PROCESSOR_HEALTH_PORT": 8001,
    "UPLOADER_HEALTH_PORT": 8002,
    "KAFKA_PORT": 9092,
    "KAFKA_CONTROLLER_PORT": 9093,
    "S3_PORT": 8333,
    "DEMO_PORT": 8765,
}


def read_ports(given: Mapping[str, str]) -> dict[str, int]:
    """Returns the ports by their settings. Raises LocalError when one is invalid or used twice."""
    ports: dict[str, int] = {}
    for name, default in PORTS.items():
        if name == "KAFKA_CONTROLLER_PORT":
            default = ports["KAFKA_PORT"] + 1
        text = given.get(name, str(default))
        least = 0 if name == "DEMO_PORT" else 1
        if not text.isdecimal() or not least <= int(text) <= _LAST_PORT:
            off = ", or 0 for no demo" if least == 0 else ""
            raise LocalError(f"{name}: expected a port from 1 to {_LAST_PORT}{off} (got {text!r})")
        ports[name] = int(text)
    check_distinct(ports)
    return ports


def check_distinct(ports: Mapping[str, int]) -> None:
    """Raises LocalError when two settings have the same port, or a sum is beyond the last port."""
    for name, port in ports.items():
        if port > _LAST_PORT:
            raise LocalError(f"{name}: expected a port from 1 to {_LAST_PORT} (got {port})")
        others = [other for other, number in ports.items() if number == port and other != name]
        if others:
            raise LocalError(f"{name} and {others[0]} are both {port}: set one of them to another port")
