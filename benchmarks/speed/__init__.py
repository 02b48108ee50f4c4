"""What mpop costs, beside nothing but itself."""
