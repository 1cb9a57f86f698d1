"""Who is an administrator is decided in one place: a key without the scope `admin` has none of the rights."""

from tests.support.paths import REPOSITORY


def test_no_route_compares_with_the_administrators_names_itself():
    """A route asks `IsAdmin`, which also looks at the scopes of the caller's key."""
    reads = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "api").rglob("*.py")
        if "in parts.settings.admin_usernames" in path.read_text()
    }
    assert reads == set()
