"""What a server did, read from the server itself."""
