"""What a development loop needs of the stack: following a service, and the tests of what was saved."""
