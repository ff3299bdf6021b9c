"""Attacks. None is trusted: each verifies what it found before it returns what counts of it (harness.attacks.attack)."""
