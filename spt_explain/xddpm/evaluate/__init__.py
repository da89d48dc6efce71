"""How good a map of relevance is: against the simulator's truth, a regressor, floors and others.

Everything takes maps as arrays (videos, frames, height, width), so that any method can be compared
with any other; `table.compare` gives all figures of all methods at once.
"""
