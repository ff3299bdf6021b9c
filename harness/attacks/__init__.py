"""Attacks. None is trusted: whoever uses one verifies what it returns with ThreatModel.verify."""
