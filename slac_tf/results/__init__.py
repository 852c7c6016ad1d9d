"""Tidy CSV files to figures; knows nothing of the rest."""
