"""Verification of the store against its ledger, and proofs of single generations."""
