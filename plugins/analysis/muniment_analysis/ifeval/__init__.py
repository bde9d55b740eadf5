"""Checks of the 25 verifiable kinds of instructions of IFEval.

The kinds are those of Zhou et al. 2023, "Instruction-Following Evaluation for Large Language
Models", arXiv 2311.07911.
"""
