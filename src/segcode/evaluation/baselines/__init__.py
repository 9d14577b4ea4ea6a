"""Rivals: other ways to use labelled pixels, on the same trained features."""
