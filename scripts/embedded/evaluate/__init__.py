"""Figures of the embedded models: how good the judge is, what the connector is worth."""
