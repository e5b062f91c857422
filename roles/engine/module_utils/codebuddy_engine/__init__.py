"""Docker engines: how to connect to one, and how to start one where no service manager does."""
