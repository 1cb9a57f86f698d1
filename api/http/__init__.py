"""HTTP below the routes: the listening socket, connections, deadlines, headers and origins."""
