"""Which pixels of a movie carry a signal, and movies that hold only those (xDDPM)."""
