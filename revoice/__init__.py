"""revoice: from recordings of people speaking to a trained VALL-E voice."""

__version__ = "0.1.0"
