"""The interactive panels of the notebooks: thin layers over plain functions, one module for each notebook's subject."""
