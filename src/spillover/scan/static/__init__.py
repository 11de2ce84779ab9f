"""What can be seen in a dataset without any model, in one pass and in memory that does not grow with its rows."""
