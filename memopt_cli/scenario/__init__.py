"""What to run, as typed values that remember the place in the file where each was written."""
