"""From a posterior to draws of a target's score. Imports what comes before it."""
