"""Calls to the provider over HTTP, and what their answers mean."""
