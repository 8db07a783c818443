"""The report's one HTML page: plain values shaped for reading, templates, styles and a little script."""
