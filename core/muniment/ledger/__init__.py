"""The ledger: canonical bytes, entries, commitments and the Merkle tree, as pure functions.

Nothing here opens a file or knows a database: who holds entries and payloads can check them
with this package alone.
"""
