"""Take a CLIP zero-shot prediction apart into components, pull one, and see everything that changes."""
