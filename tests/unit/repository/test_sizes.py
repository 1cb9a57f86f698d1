"""The product's files and functions stay small enough to be read at once."""

import ast

from tests.support.paths import REPOSITORY

PACKAGES = ["api", "client/uvr_client", "common", "deploy", "local", "processor", "uploader"]
FILES = sorted(file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py"))
MOST_LINES_OF_A_FILE = 250
MOST_LINES_OF_A_FUNCTION = 50
MOST_BLOCKS_INSIDE_ONE_ANOTHER = 3

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def test_files_and_functions_are_small():
    found = {str(file.relative_to(REPOSITORY)): too_large(file.read_text()) for file in FILES}
    assert {file: sizes for file, sizes in found.items() if sizes} == {}


def too_large(text: str) -> list[str]:
    lines = len(text.splitlines())
    found = [f"{lines} lines"] if lines > MOST_LINES_OF_A_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS):
            lines = node.end_lineno - node.lineno + 1
            found += [f"{node.name}: {lines} lines"] if lines > MOST_LINES_OF_A_FUNCTION else []
            blocks = depth(node)
            found += [f"{node.name}: {blocks} blocks"] if blocks > MOST_BLOCKS_INSIDE_ONE_ANOTHER else []
    return found


def depth(node: ast.AST) -> int:
    """Return how many blocks nest. An elif is part of its if; inner functions do not count."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def test_blocks_are_counted_as_a_reader_counts_them():
    branches = "def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n else:\n  pass\n"
    assert depth(ast.parse(branches).body[0]) == 1
    nested = "def f():\n for a in b:\n  with c:\n   try:\n    if d:\n     pass\n   finally:\n    pass\n"
    assert depth(ast.parse(nested).body[0]) == 4
    assert too_large(nested) == ["f: 4 blocks"]
    assert too_large("def f():\n" + " pass\n" * 50) == ["f: 51 lines"]
    assert too_large("pass\n" * 251) == ["251 lines"]
