"""The report's charts: one kind a file, each from plain rows to SVG and PNG, in one style."""
