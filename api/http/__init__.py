"""HTTP below the routes: the listener, connections, deadlines, headers and origins."""
