"""Why the network says so: scores along each track, and how far they can be trusted."""
