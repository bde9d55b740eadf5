"""Installing plugins into the environment that Muniment runs in, and taking them out again.

What is to change is gathered as wheels first and checked against what is there (`gathering`,
`checking`); then pip installs just these wheels, each plugin is tried in a fresh process (`probe`),
and where one fails everything is put back (`changing`). `records` has what outlives a command: the
journal of a change under way, the wheels that were installed, and who signed them.

Nothing here is imported by a command that only generates.
"""
