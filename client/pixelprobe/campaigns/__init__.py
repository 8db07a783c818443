"""Campaign spec files: read, checked, resolved into campaigns on the server, and found again by name.

``spec_file`` makes a :class:`~pixelprobe.campaigns.spec_values.Spec` from TOML, ``resolve`` makes campaigns
from that, from images and from targets, ``estimate`` says what they will cost, and ``run`` and ``names``
start and find them.
"""
