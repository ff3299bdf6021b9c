"""Drawing images from a classifier: starts, objectives, samplers, and the descent that joins them."""
