"""The folder of a model: JSON for what is read, safetensors for arrays.

    model.json             family, options, chosen values, and the digests of data and files
    catalogue.json         the items in their order
    users.json             the ids of the users in their order
    histories.safetensors  the items of each user
    model.safetensors      the arrays of the parts, as `part.array`

The folder has no time and no path, so equal models have equal digests. It contains the ids and the
histories of users.
"""
