"""Campaigns as people write them down: TOML files, read, checked and turned into what the server takes.

``read`` makes a :class:`client.spec.model.Spec` from a file, ``resolve`` makes campaigns from that, from
pictures and from targets, and ``estimate`` says what they will cost.
"""
