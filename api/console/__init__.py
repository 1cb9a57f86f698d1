"""The console at `/`: a page for people, its files, and the session by which it signs in."""
