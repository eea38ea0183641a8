"""Scripts that make files which ship with the project; users never need them."""
