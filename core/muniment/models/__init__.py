"""The models of a home folder, and digests of files and folders."""
