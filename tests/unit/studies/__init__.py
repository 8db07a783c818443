"""The experiments behind README's statements, as far as they can be checked by hand."""
