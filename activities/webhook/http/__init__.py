"""One request over the network, and nothing about deliveries: what may be called, the connection, the answer."""
