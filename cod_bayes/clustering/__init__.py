"""Items of similar difficulty together. Imports `evidence`."""
