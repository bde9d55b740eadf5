"""Frozen dataclasses that plugins, the pipeline, the store and the CLI share.

Texts are Unicode strings that can be encoded as UTF-8. Times are aware datetimes in UTC.
Seeds are integers from 0 to 2^64 - 1.
"""
