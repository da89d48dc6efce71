"""spt-explain."""
