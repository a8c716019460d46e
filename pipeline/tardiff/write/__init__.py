"""What is shared, as operations of the stream."""
