"""What surrounds a wait, as values: the cart, the payment page's options and URLs, and what the provider answers."""
