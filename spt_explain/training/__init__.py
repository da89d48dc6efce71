"""Making weights: recipes, batches of simulated trajectories, the loop, export."""
