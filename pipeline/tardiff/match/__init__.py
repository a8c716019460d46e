"""What a new file shares with the old one that it is paired with: covers, and nothing about how they are written."""
