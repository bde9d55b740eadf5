"""Install plugins into the environment of Muniment, upgrade, remove, pin and bundle them.

`resolver` and `preflight` collect wheels and check them against the installed distributions.
`transaction` installs or removes them with a journal, and `installer` combines these steps.
"""
