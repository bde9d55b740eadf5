"""Backups: copies of a whole store, proven to be whole when they are made and before they are used.

`making` and `restoring` are what the store's keeper asks for, `registry` remembers which backups
there are; how one kind of database is copied is in `sqlite.py` and `postgresql.py`.
"""
