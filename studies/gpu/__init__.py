"""What runs on a GPU in one call: checks of equality, hardware conversions, and times."""
