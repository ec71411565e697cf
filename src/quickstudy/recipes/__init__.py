"""The field's names as an index: a page each with equation, citation, the paper's number and a short composition."""
