"""Real connections over TCP: drivers that open, hold and use them, and a server to try them on."""
