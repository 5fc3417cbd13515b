"""What papers print about hardware, one file a paper: the figures, and the arithmetic of ours that makes them again.

Figures are data with their place in the source; where ours and theirs differ, both are there with the reason, if known.
"""
