"""Rivals: other ways to use partial truth, on the same trained features."""

from segcode.evaluation.baselines.rivals import load_rivals

__all__ = ["load_rivals"]
