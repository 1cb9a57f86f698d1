"""Manages the model files: lists the models that exist, fetches them, and checks that they are complete."""
