"""What calls functions on AWS Lambda: a request of an HTTP API or a function URL, and messages of a queue."""
