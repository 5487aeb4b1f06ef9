"""Adapters between the toolkit and models: generators and judges, resolved by name on first use."""
