"""A run on disk: written row by row so that a killed run is whole up to its last sample."""
