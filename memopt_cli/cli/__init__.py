"""The command line: parse, call, print, exit. No measuring happens here."""
