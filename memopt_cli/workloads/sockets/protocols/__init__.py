"""What the drivers can speak; each protocol is one class of the shape in `shape`."""
