"""Reinforcement learning by group-relative policy optimization, with every completion logged with its grade."""
