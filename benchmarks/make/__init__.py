"""What is bundled with the package, and how it was made."""
