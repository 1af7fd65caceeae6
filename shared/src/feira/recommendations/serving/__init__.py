"""From published lists to an answer: how lists are stored in Valkey, and the API that reads them."""
