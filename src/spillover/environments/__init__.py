"""What models act in while they learn by reinforcement: prompts, graders and rewards."""
