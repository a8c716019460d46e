"""What the ledger is made of.

images         images, their platforms and layers
repositories   tags and where they pointed, repositories, what was removed
rules          by what a repository was published; remotes of flatpak
deltas         deltas that were made or refused, and that were retracted
keys           what was written
fields         times and digests in JSON
"""
