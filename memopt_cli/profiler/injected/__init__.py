"""
What runs inside a watched program: standard library only, Python 3.8 and later.

The folder itself is put on the program's PYTHONPATH; nothing else of memopt is
loaded there.
"""
