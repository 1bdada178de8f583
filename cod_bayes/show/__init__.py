"""Pictures and the report. Imports everything but `commands`."""
