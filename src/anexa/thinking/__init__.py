"""Thinking: arithmetic problems, thoughts that a checker reads, evaluation and reinforcement."""
