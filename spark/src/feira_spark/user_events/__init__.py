"""User events: from messages of Kafka to a day of the lake's table."""
