"""The model files: what exists, what is here, whether it is whole, and how it comes here."""
