"""Which frames of a track carry a signal: the bottleneck of xDDPM over displacements."""
