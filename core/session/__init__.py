"""What one visitor has set: frozen values, and steps from one to the next."""
