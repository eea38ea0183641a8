"""Figures that only the course shows."""
