"""What only a directory promises: files as a web server wants them, and a tree that nothing leads out of."""
