"""Agents of discrete active inference that share what is equal and are stepped in batches."""
