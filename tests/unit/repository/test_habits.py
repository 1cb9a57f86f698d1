"""How people join the project: the pages and files that they follow hold against the repository."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml

import common
from tests.support.paths import REPOSITORY

CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text()
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
FORMS = [REPOSITORY / ".github" / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))

# Actions by the commits of their releases: a tag can be moved, a commit cannot.
PINNED = re.compile(r"uses: actions/(checkout|setup-python|upload-artifact)@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def assert_is_valid(schema: str, *files) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_and_issue_forms_are_what_github_takes():
    assert len(WORKFLOWS) == 2
    assert_is_valid("github-workflows", *WORKFLOWS)
    assert_is_valid("github-issue-forms", *FORMS)
    assert_is_valid("github-issue-config", FORMS[0].with_name("config.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_only_reads_and_takes_pinned_actions(file):
    text = file.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    assert "secrets." not in text
    assert "pull_request_target" not in text
    assert text.count("uses: ") == len(PINNED.findall(text)) > 0
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60


def test_pre_commit_takes_its_hooks_and_runs_the_tools_of_the_environment():
    command = [sys.executable, "-m", "pre_commit", "validate-config"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (local,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert ".venv/bin/" in hook["entry"]


def test_every_target_of_make_is_listed_and_says_what_it_does():
    assert set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()) == TARGETS
    assert set(re.findall(r"^([a-z]+):.* ## \S", MAKEFILE, re.MULTILINE)) == TARGETS


def test_scripts_that_make_and_workflows_run_can_be_run():
    texts = [MAKEFILE, *(file.read_text() for file in WORKFLOWS)]
    scripts = {script for text in texts for script in re.findall(r"(?<![\w/])(?:\./)?([\w/]+\.sh)\b", text)}
    assert {"lint.sh", "run_tests.sh", "requirements/compile.sh"} <= scripts
    for script in scripts - {"local/bootstrap.sh"}:
        assert (REPOSITORY / script).stat().st_mode & 0o111, script


def test_contributing_names_targets_files_and_tests_that_exist():
    assert set(re.findall(r"\bmake ([a-z]+)", CONTRIBUTING)) <= TARGETS
    tests = {file.name for file in (REPOSITORY / "tests").rglob("test_*.py")}
    for name in set(re.findall(r"`([\w./-]+)`", CONTRIBUTING)):
        if re.fullmatch(r"test_\w+\.py", name):
            assert name in tests, name
        elif "/" in name and "NAME" not in name and not name.startswith(".venv"):
            assert (REPOSITORY / name).exists(), name


def test_the_changelog_begins_with_what_is_unreleased_and_knows_the_version():
    headings = re.findall(r"^## \[(.+?)\](.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == common.__version__
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in headings[1:])
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_project_names_no_version_of_its_own_and_no_package_without_a_group():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert "dependencies" not in project["project"]
    compiled = (REPOSITORY / "requirements" / "compile.sh").read_text()
    groups = project["dependency-groups"].keys() - {"services"}
    for group in groups:
        assert re.search(rf"^write requirements\S*\.txt .*\b{group}\b", compiled, re.MULTILINE), group


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("requirements*.txt")), ids=lambda file: file.name)
def test_every_package_of_a_group_is_pinned_in_its_file(file):
    """`make lock` was run after the groups were changed."""
    compiled = (REPOSITORY / "requirements" / "compile.sh").read_text()
    (groups,) = re.findall(rf"^write {re.escape(file.name)} (.+)$", compiled, re.MULTILINE)
    pinned = dict(re.findall(r"^([a-z0-9._-]+)(?:\[\S+\])?==(\S+)", file.read_text(), re.MULTILINE))
    for requirement in {each for group in groups.split() for each in members(group)}:
        name, _, version = requirement.partition("==")
        assert name in pinned, f"{name}: run `make lock`"
        assert version in ("", pinned[name]), f"{name}: run `make lock`"


def members(group: str) -> list[str]:
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    found = []
    for entry in groups[group]:
        found += [entry] if isinstance(entry, str) else members(entry["include-group"])
    return found


def test_no_file_holds_the_marks_of_a_merge_that_was_not_finished():
    marks = "^(<{7}|>{7})( |$)"
    found = subprocess.run(["git", "grep", "-nIE", marks], cwd=REPOSITORY, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")
