"""Populations under load. They work and tell what they did; they never measure memory."""
