"""Makes certificates and tokens where there is no other source: ``python -m pixelprobe_deploy.secrets``."""
