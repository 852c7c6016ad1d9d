"""Networks that more than one agent or latent model is composed of."""
