"""The mathematics, one question a file: attribution, steering, and the evidence for an edit."""
