"""Charts as Altair specifications, and the scripts that draw them."""
