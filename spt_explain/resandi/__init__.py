"""The classifier: architecture, inputs, weights, backends, and verdicts on tracks."""
