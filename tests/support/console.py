"""The console as `console/build.sh` has made it, with the rules of accessibility that the build installs."""

import json
from typing import Any

import pytest

from tests.support.browser import Tab
from tests.support.paths import REPOSITORY

_PAGE = REPOSITORY / "api" / "console" / "assets" / "index.html"
_AXE = REPOSITORY / ".local" / "console" / "node_modules" / "axe-core" / "axe.min.js"


def need_console() -> None:
    """Fail where the console was not built: ./run_tests.sh builds it, and says why it cannot."""
    if not (_PAGE.is_file() and _AXE.is_file()):
        pytest.fail("the console was not built: run console/build.sh, which needs npm's registry")


def findings(tab: Tab) -> list[str]:
    """What axe-core finds wrong with the page as it is now, by the rules of WCAG 2.2 A and AA and its own."""
    tab.run(_AXE.read_text())
    violations: list[dict[str, Any]] = json.loads(
        tab.run("axe.run(document).then(found => JSON.stringify(found.violations))")
    )
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in violations]
