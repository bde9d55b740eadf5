"""The names of the protocols by which data is divided. Importing them imports no numpy."""

LEAVE_ONE_OUT, GLOBAL_TIME, COLD_ITEM = "leave-one-out", "global-time", "cold-item"
PROTOCOLS = (LEAVE_ONE_OUT, GLOBAL_TIME, COLD_ITEM)
