"""Reads deploy/alerts.yml: its rules, and the metrics that their expressions select."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tests.support.paths import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


@dataclass(frozen=True)
class Selector:
    """A metric, and the labels that select its series."""

    name: str
    matchers: dict[str, str]


def rules() -> dict[str, dict[str, Any]]:
    """Returns the rules by their names."""
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def selectors(expression: str) -> list[Selector]:
    """Returns the selectors of an expression. Raises ValueError when Prometheus would refuse it."""
    return list(_below(promql_parser.parse(expression)))


def _below(node: Any) -> Iterator[Selector]:
    match node:
        case promql_parser.VectorSelector():
            yield Selector(node.name, {m.name: m.value for m in node.matchers.matchers})
        case promql_parser.MatrixSelector():
            yield from _below(node.vector_selector)
        case promql_parser.BinaryExpr():
            yield from _below(node.lhs)
            yield from _below(node.rhs)
        case promql_parser.Call():
            for argument in node.args:
                yield from _below(argument)
        case promql_parser.AggregateExpr() | promql_parser.SubqueryExpr() | promql_parser.ParenExpr():
            yield from _below(node.expr)
        case promql_parser.NumberLiteral():
            pass
        case _:
            raise AssertionError(f"an expression of a kind that is not looked into: {node!r}")
