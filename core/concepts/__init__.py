"""The concept index: what every component of a dictionary (SAE latent) fires for, and what is asked of it."""
