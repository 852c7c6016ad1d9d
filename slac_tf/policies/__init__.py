"""Policies: on a history of observations, a latent, a belief, or a plan."""
