"""Keras model files, read without Keras."""
