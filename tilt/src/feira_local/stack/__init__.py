"""The local stack: which services there are, how each is started, watched and stopped."""
