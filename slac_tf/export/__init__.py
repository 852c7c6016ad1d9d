"""Policies as SavedModels, and playing them."""
