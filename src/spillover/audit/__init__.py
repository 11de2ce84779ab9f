"""What a tuned model does beyond its purpose: where it changed, under which conditions, and which rows did it."""
