"""The named methods: a page for each, with equation, citation, the paper's number and a short composition."""
