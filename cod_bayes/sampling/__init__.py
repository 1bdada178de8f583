"""From a model to draws of its posterior. Imports `model`."""
