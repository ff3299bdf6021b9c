"""Images in [0,1] with labels, and where they come from."""
