"""Sequential latent variable models behind one small interface, `base.LatentModel`."""
