"""A folder for each kind of data. The core imports none of them."""
