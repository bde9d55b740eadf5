"""The evaluators, which score outputs. Each module is imported when it is used."""
