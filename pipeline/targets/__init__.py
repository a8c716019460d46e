"""Where a tree is written: the contract in `base`, and its implementations."""
