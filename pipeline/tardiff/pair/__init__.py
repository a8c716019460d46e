"""Which old file serves which new one, and nothing about what the two share: that is `match`."""
