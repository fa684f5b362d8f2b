"""Agents of discrete active inference: their models and worlds, and the naive one."""
