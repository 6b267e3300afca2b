"""Events in DynamoDB, for servers and functions on AWS."""
