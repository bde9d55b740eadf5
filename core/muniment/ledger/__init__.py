"""The ledger: canonical bytes, entries, commitments and the Merkle tree, as pure functions.

This package opens no file and uses no database. A verifier that has entries and payloads needs
only this package to check them.
"""
