"""The api: takes submissions, and tells what became of them."""
