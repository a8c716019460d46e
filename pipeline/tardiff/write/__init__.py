"""Covers written as operations, in the order of the new tar."""
