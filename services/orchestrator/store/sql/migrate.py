"""``python -m services.orchestrator.store.sql.migrate``: bring a database to this program's schema.

An empty database gets the schema when an orchestrator first opens it. An older one is never changed
unasked: back it up, stop the orchestrators, run this.
"""
