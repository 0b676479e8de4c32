"""One exchange with the provider over HTTP, and what its answer means."""
