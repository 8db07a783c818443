"""Campaigns from spec files.

``spec_file`` reads a spec, ``images`` its data set; ``runs`` makes, starts and finds a spec's campaigns,
``follow`` runs one campaign to its end, ``cost`` estimates queries and ``rate`` measures how fast they go.
"""
