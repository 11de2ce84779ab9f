"""Instruments that explain what fine-tuning found; they read models and rows, never the command line."""
