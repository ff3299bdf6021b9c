"""Features of images, by networks whose names and hashes are part of every score that is made with them."""
