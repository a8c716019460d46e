"""The layers of an image as a folder of files.

rooted    a folder out of which no name and no symbolic link leads
layer     one layer's entries: whiteouts, files, links, attributes
image     all layers into a new folder beside, which then takes the old one's place
"""
