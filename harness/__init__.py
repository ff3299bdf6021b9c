"""The judge: measures robust classifiers, read as energy-based models, and keeps what it found."""

__version__ = "0.1.0"
