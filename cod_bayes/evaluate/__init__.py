"""How good forecasts are: simulated worlds, rivals, scores. Imports what comes before it."""
