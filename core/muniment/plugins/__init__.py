"""Plugins: discovery, registration, invocation and worker processes."""
