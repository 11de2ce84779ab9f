"""The catalogue: one file for each published experiment, and what runs them."""
