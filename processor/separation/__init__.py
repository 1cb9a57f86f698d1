"""Separates a mix into stems with a loaded model, in constant memory."""
