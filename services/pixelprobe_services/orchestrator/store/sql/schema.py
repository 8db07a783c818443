"""Tables of the durable store, for SQLite and PostgreSQL alike. A change here needs a migration.

Columns hold what is looked up, counted or compared; one versioned payload holds what is only returned. Times
are seconds since 1970 (UTC).
"""

from __future__ import annotations

from enum import Enum

import sqlalchemy as sa

from pixelprobe_services.common.values import AttackState, CampaignState, Outcome

ID_LENGTH = 32
DIGEST_LENGTH = 64
OWNER_LENGTH = 64

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _enum(kind: type[Enum]) -> sa.Enum:
    """Return the type of a column that holds an enum by its value, legible without this program."""
    return sa.Enum(
        kind, native_enum=False, length=16, values_callable=lambda members: [one.value for one in members]
    )


def _big() -> sa.types.TypeEngine[int]:
    """Return the type of a 64-bit row number; SQLite generates one only in a column of type INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _attack_columns(table_primary_key: bool) -> tuple[sa.Column[str], sa.Column[int]]:
    return (
        sa.Column("campaign_id", sa.String(ID_LENGTH), nullable=False, primary_key=table_primary_key),
        sa.Column("number", sa.Integer, nullable=False, primary_key=table_primary_key, autoincrement=False),
    )


def _of_attack() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["campaign_id", "number"], ["attacks.campaign_id", "attacks.number"])


images = sa.Table(
    "images",
    metadata,
    sa.Column("digest", sa.String(DIGEST_LENGTH), primary_key=True),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("rgb", sa.LargeBinary, nullable=False),
    sa.Column("used", sa.Double, nullable=False, server_default="0"),
)
"""``used`` is the time of the last upload, by the database's clock."""

masks = sa.Table(
    "masks",
    metadata,
    sa.Column("digest", sa.String(DIGEST_LENGTH), primary_key=True),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("bits", sa.LargeBinary, nullable=False),
)
"""By content: many attacks share one mask."""

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("ordinal", _big(), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(ID_LENGTH), nullable=False, unique=True),
    sa.Column("request_id", sa.String(128)),
    sa.Column("state", _enum(CampaignState), nullable=False),
    sa.Column("state_reason", sa.Text, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("end_time", sa.Double),
    sa.Column("attacks_total", sa.Integer, nullable=False),
    sa.Column("last_event", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(OWNER_LENGTH), nullable=False, server_default=""),
    sa.Column("attacks_created", sa.Integer, nullable=False, server_default="0"),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("delete_time", sa.Double),
    sa.Column("head", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("owner", "request_id"),
    sa.Index(None, "owner", "state"),
)
"""What lists and changes of state need; narrow, because its rows change with every event.

``ordinal`` is the order of creation, ``owner`` the client that created it, empty where clients have no names;
``head`` a serialised ``pixelprobe.attack.v1.CampaignSpec`` without images. Attacks with numbers from
``attacks_created`` on were never claimed and have no row. ``stored_bytes`` counts the spec, the images and
the results. A campaign with a ``delete_time`` does not exist for readers: it is being created, or removed.
"""

specs = sa.Table(
    "specs",
    metadata,
    sa.Column("campaign_id", sa.String(ID_LENGTH), sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("spec", sa.LargeBinary, nullable=False),
)
"""Serialised ``pixelprobe.attack.v1.CampaignSpec`` messages: large, and never changed."""

campaign_images = sa.Table(
    "campaign_images",
    metadata,
    sa.Column("campaign_id", sa.String(ID_LENGTH), sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("image_digest", sa.String(DIGEST_LENGTH), primary_key=True),
    sa.Index(None, "image_digest"),
    sqlite_with_rowid=False,
)
"""Which images a campaign uses; an image that none uses may be removed."""

campaign_masks = sa.Table(
    "campaign_masks",
    metadata,
    sa.Column("campaign_id", sa.String(ID_LENGTH), sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("image_digest", sa.String(DIGEST_LENGTH), primary_key=True),
    sa.Column("mask_digest", sa.String(DIGEST_LENGTH), sa.ForeignKey("masks.digest"), nullable=False),
    sa.Column("review_reason", sa.Text, nullable=False),
    sa.Index(None, "mask_digest"),
)
"""The mask that a campaign uses for an image: the first that was made."""

attacks = sa.Table(
    "attacks",
    metadata,
    *_attack_columns(table_primary_key=True),
    sa.Column("state", _enum(AttackState), nullable=False),
    sa.Column("owner", sa.String(ID_LENGTH)),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("settled", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("skipped", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("repeated", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("answered", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("timed_out", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("retries", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("outcome", _enum(Outcome)),
    sa.Column("end_time", sa.Double),
    sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"]),
    sa.Index(None, "campaign_id", "state", "number"),
    sqlite_with_rowid=False,
)
"""Attacks that were claimed at least once; narrow, because rows change often. The spec and ``number`` say
what the attack is.

``owner`` and ``claims`` are the lease: the holder, and how often the attack was claimed; only the last holder
may write. ``reserved`` counts every query that was ever about to be sent, ``settled`` those known to have
been; the difference is under way, or was when an orchestrator died. ``answered``, ``timed_out`` and
``rejected`` are parts of ``settled``; an attack has sent ``reserved - rejected`` queries.
"""

results = sa.Table(
    "results",
    metadata,
    *_attack_columns(table_primary_key=True),
    sa.Column("mask_digest", sa.String(DIGEST_LENGTH), sa.ForeignKey("masks.digest")),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    _of_attack(),
    sa.Index(None, "mask_digest"),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    *_attack_columns(table_primary_key=True),
    sa.Column("state", sa.LargeBinary, nullable=False),
    _of_attack(),
)

scored = sa.Table(
    "scored",
    metadata,
    sa.Column("place", _big(), primary_key=True, autoincrement=True),
    *_attack_columns(table_primary_key=False),
    sa.Column("chunk", sa.LargeBinary, nullable=False),
    _of_attack(),
    sa.Index(None, "campaign_id", "number"),
)
"""What a checkpoint's attack has scored so far, in the order of ``place``."""

events = sa.Table(
    "events",
    metadata,
    sa.Column("campaign_id", sa.String(ID_LENGTH), sa.ForeignKey("campaigns.id"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("campaign_state", _enum(CampaignState)),
    sa.Column("attack_number", sa.Integer),
    sqlite_with_rowid=False,
)

query_days = sa.Table(
    "query_days",
    metadata,
    sa.Column("owner", sa.String(OWNER_LENGTH), primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("queries", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Queries reserved for the campaigns of each owner that has a name, by days since 1970 (UTC)."""

lease_holders = sa.Table(
    "lease_holders",
    metadata,
    sa.Column("id", sa.String(ID_LENGTH), primary_key=True),
    sa.Column("seen", sa.Double, nullable=False),
    sa.Column("expires", sa.Double),
)
"""Orchestrators at work: when each last renewed its lease, and when the lease ends.

Both by the database's clock. A lease without an end is that of the only user of an SQLite file.
"""
