"""AutoAttack, fast and the same whatever the batch: see harness.attacks.engine.engine."""
