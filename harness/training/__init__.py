"""Training entrants: objectives, recipes, the trainer."""
