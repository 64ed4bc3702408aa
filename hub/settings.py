"""The only declaration of the hub's configuration: /etc/simpul/hub.toml as frozen models."""

from typing import Annotated

from msgspec import Meta, Struct


class Broker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[broker]: where the nodes' messages come from."""

    urls: Annotated[
        tuple[
            Annotated[
                str, Meta(pattern=r"^mqtts?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$")
            ],
            ...,
        ],
        Meta(
            min_length=1,
            description="Brokers, tried in turn: mqtts://host:port (TLS) or mqtt://host:port.",
        ),
    ]
    client_id: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_-]{1,64}$",
            description="Name of the session that the broker keeps, one for each collector; with a "
            "password, digits made from it follow, so that nobody can guess the whole.",
        ),
    ] = "simpul-hub"
    ca_file: Annotated[
        str, Meta(description="CA certificates (PEM) that the broker is checked against.")
    ] = ""
    certificate_file: Annotated[str, Meta(description="Certificate (PEM) of the hub.")] = ""
    key_file: Annotated[
        str, Meta(description="Private key (PEM) of the hub; no other user may read it.")
    ] = ""
    username: Annotated[str, Meta(description="Name at the broker, where it asks for one.")] = ""
    password_file: Annotated[
        str, Meta(description="File that holds the password for username, and nothing else.")
    ] = ""
    keepalive_seconds: Annotated[
        int, Meta(ge=5, le=600, description="Longest silence on the connection.")
    ] = 30
    backoff_min_seconds: Annotated[
        float, Meta(gt=0, le=60, description="First pause after a failed connection.")
    ] = 1.0
    backoff_max_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="Longest pause after failed connections.")
    ] = 30.0


class DatabaseAt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[database]: where measurements are kept."""

    url: Annotated[
        str,
        Meta(
            pattern="^(sqlite:////|postgresql://)",
            description="sqlite:////absolute/path or postgresql://user@host:port/name.",
        ),
    ] = "sqlite:////var/lib/simpul-hub/hub.db"
    password_file: Annotated[
        str, Meta(description="File that holds the password of PostgreSQL, and nothing else.")
    ] = ""
    batch_max: Annotated[
        int, Meta(ge=1, le=5000, description="Most messages stored in one transaction.")
    ] = 500
    keep_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36_500,
            description="Measurements are deleted this long after they came; 0: never. Give more "
            "than nodes keep their own.",
        ),
    ] = 400
    backoff_min_seconds: Annotated[
        float, Meta(gt=0, le=60, description="First pause while the database is down.")
    ] = 0.2
    backoff_max_seconds: Annotated[
        float, Meta(ge=0.2, le=3600, description="Longest pause while the database is down.")
    ] = 15.0


class Gaps(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[gaps]: when a node is asked to send again what is missing."""

    grace_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="Patience with a new hole; it may fill by itself.")
    ] = 2.0
    interval_min_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="First pause between two asks for one boot.")
    ] = 5.0
    interval_max_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest pause between two asks for one boot.")
    ] = 300.0
    ranges_max: Annotated[
        int, Meta(ge=1, le=100, description="Most ranges asked for at once, for one boot.")
    ] = 8


class Public(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[public]: the directory that citizens see, through a web server."""

    directory: Annotated[
        str, Meta(pattern="^/", description="Where cameras.json and the stills are written.")
    ] = "/var/lib/simpul-hub/public"
    stale_seconds: Annotated[
        float, Meta(ge=1, le=86_400, description="Age at which a still is no longer shown as now.")
    ] = 60.0
    silent_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="A node that was silent for longer is offline, whatever it said last; give "
            "more than the longest measure_interval_seconds of a node.",
        ),
    ] = 4000.0
    hotspot_users_min: Annotated[
        int,
        Meta(ge=1, le=1000, description="Below this number of users only 'fewer than' is said."),
    ] = 5
    hotspot_stale_seconds: Annotated[
        float, Meta(ge=1, le=86_400, description="Age at which a count of users is not shown.")
    ] = 120.0


class Serve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[serve]: the small web server for demo and development; nginx is for production."""

    address: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one.")
    ] = 8080


class HubSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the hub is told."""

    broker: Broker
    database: DatabaseAt = DatabaseAt()
    gaps: Gaps = Gaps()
    public: Public = Public()
    serve: Serve = Serve()
