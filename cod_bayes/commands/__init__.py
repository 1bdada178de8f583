"""One module per command: `add(commands)` declares it, `run(arguments)` does it and returns 0.

A module imports nothing slow at its top, so that `cod-bayes --help` answers at once.
"""
