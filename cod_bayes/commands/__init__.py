"""The command line, one module per command.

May import: evidence, ingest, clustering, model, sampling, forecast, decide, evaluate, show.

A command's module has `add(commands)`, which declares the command and its options, and
`run(arguments)`, which does the work and returns the exit code.

Four modules serve several commands:

    options    the options that several commands share
    values     what the text of an option means
    printing   tables, JSON, notes and warnings on the terminal
    outputs    the files that commands write

No module here imports anything slow at its top, so that `cod-bayes --help` answers at once.
"""
