"""From a forecast to a decision. Imports `forecast` and what comes before it."""
