"""Procedural street scenes with exact labels and metric depth: the data set that needs no download."""

from segcode.streets.streets import Streets

__all__ = ["Streets"]
