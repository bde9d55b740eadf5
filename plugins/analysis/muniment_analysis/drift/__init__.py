"""The drift of a recorded score over time: means of periods, a trend, and a point of change."""
