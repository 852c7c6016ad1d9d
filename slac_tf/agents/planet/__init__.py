"""PlaNet: a recurrent state-space model, and planning in its latent space."""
