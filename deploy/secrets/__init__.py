"""Certificates and tokens for people who have nowhere else to get them: ``python -m deploy.secrets``."""
