"""Judges beside judges and beside people: agreement and correlation."""
