"""Whoever runs the product for money may: the licences of all that it installs."""

from tests.support.licences import PAGE, Package, runtime_packages, table


def test_no_runtime_package_has_a_licence_that_is_not_allowed():
    unlisted = {package.name: package.unlisted() for package in runtime_packages() if package.unlisted()}
    assert unlisted == {}


def test_a_licence_that_forbids_commercial_use_and_an_unknown_one_are_found():
    assert Package("one", "CC-BY-NC-4.0").unlisted() == {"CC-BY-NC-4.0"}
    assert Package("two", "MIT AND GPL-3.0-only").unlisted() == {"GPL-3.0-only"}
    assert Package("three", "unknown").unlisted() == {"unknown"}


def test_the_page_lists_what_is_installed():
    rows = PAGE.read_text().split("|---|---|\n")[1]
    assert rows == table(), "run `python -m tests.support.licences`"
