"""One HTTP request: allowed targets, the connection, the response. It knows nothing about deliveries."""
