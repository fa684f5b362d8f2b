"""What is read from a process: memory, heap, collection pauses, latency. It never decides."""
