"""Arithmetic that is thought out: problems, thoughts, and examples to train on."""
