"""The other end: what a device does with a published tree."""
