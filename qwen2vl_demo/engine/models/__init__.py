"""The models that an operator lets visitors choose from: which there are, loading one, and which are loaded."""
