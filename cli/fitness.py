"""Whether a server is fit to be the ledger, from what it tells about itself. Nothing here connects."""

from collections.abc import Mapping
from typing import Final

from cli.symptoms import Level, Symptom
from cli.vulnerabilities import holes_of
from config.addresses import Address, Transport

Told = Mapping[str, str]  # INFO or CONFIG GET, as texts
_OLDEST_SERVER: Final = 7
# From here on it is a question of days; a full server refuses every payment.
_MEMORY_WARNING, _MEMORY_PROBLEM = 0.8, 0.95
_LOOPBACK: Final = ("127.", "::1", "localhost")


def fitness(info: Told, config: Told | None, address: Address) -> list[Symptom]:
    """All findings about one server; `config` is None where the server does not show it."""
    return [
        *_version(info, address),
        *_role(info),
        *_durability(config),
        *_writing(info),
        *_memory(info),
        *_replicas(info, config),
        *_access(address),
    ]


def _version(info: Told, address: Address) -> list[Symptom]:
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "?"
    found = [Symptom(Level.OK, f"{product} {version} answers")]
    # Valkey also reports the Redis version it is compatible with, which is what its commands are worth.
    if _number(info.get("redis_version", "0").partition(".")[0]) < _OLDEST_SERVER:
        found.append(Symptom(Level.PROBLEM, "the server is older than 7", "Use Redis or Valkey 7 or newer."))
    for hole, mended in holes_of(product, version, tls=address.transport is Transport.TLS):
        remedy = f"Use {mended} or newer, unless your distribution has mended it in this version."
        found.append(Symptom(Level.WARNING, f"{product} {version} has {hole.name}: {hole.risk}", remedy))
    return found


def _role(info: Told) -> list[Symptom]:
    if info.get("role") != "slave":
        return []
    link = "" if info.get("master_link_status") == "up" else ", and its master is not there"
    remedy = "Set REDIS_URL to the master, or make this server one (REPLICAOF NO ONE)."
    return [Symptom(Level.PROBLEM, f"the server is a replica{link}: it takes no payments", remedy)]


def _durability(config: Told | None) -> list[Symptom]:
    if config is None:  # managed servers and careful operators do not permit CONFIG
        remedy = "Make sure of appendonly yes, appendfsync always, maxmemory-policy noeviction."
        return [Symptom(Level.WARNING, "the server does not show its durability settings", remedy)]
    fsync = config.get("appendfsync")
    risk = "a power cut forgets the last half minute" if fsync == "no" else "a power cut forgets the last second or two"
    fsync_level = Level.PROBLEM if fsync == "no" else Level.WARNING
    return [
        _setting(config, "appendonly", "yes", Level.PROBLEM, "a restart of the server forgets accepted payments"),
        _setting(config, "appendfsync", "always", fsync_level, risk),
        _setting(config, "maxmemory-policy", "noeviction", Level.PROBLEM, "a full server throws payments away"),
    ]


def _setting(config: Told, name: str, wanted: str, level: Level, risk: str) -> Symptom:
    value = config.get(name, "?")
    if value == wanted:
        return Symptom(Level.OK, f"{name} {value}")
    return Symptom(level, f"{name} is {value}: {risk}", f"Set it to {wanted} in the server's configuration.")


def _writing(info: Told) -> list[Symptom]:
    """A server that cannot write to its disk refuses payments, or forgets them."""
    last = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    failed = [name for name in last if info.get(name, "ok") != "ok"]
    if not failed:
        return []
    remedy = "Look at the server's disk and its log."
    return [Symptom(Level.PROBLEM, f"the server could not write to its disk ({', '.join(failed)})", remedy)]


def _memory(info: Told) -> list[Symptom]:
    most, used = _number(info.get("maxmemory", "0")), _number(info.get("used_memory", "0"))
    if not most or used < most * _MEMORY_WARNING:
        return []
    level = Level.WARNING if used < most * _MEMORY_PROBLEM else Level.PROBLEM
    text = f"memory is {used * 100 // most} % of maxmemory: a full server refuses all payments"
    return [Symptom(level, text, "Raise maxmemory, or lower B24PAY_RETENTION_DAYS.")]


def _replicas(info: Told, config: Told | None) -> list[Symptom]:
    replicas = _number(info.get("connected_slaves", "0"))
    if not replicas or config is None or _number(config.get("min-replicas-to-write", "0")):
        return []
    text = f"the server has {replicas} replica{'' if replicas == 1 else 's'} and waits for none: a failover may forget"
    remedy = "Set min-replicas-to-write 1 and min-replicas-max-lag 10."
    return [Symptom(Level.WARNING, f"{text} accepted payments", remedy)]


def _access(address: Address) -> list[Symptom]:
    far = [host for host, _ in address.hosts if not host.startswith(_LOOPBACK)]
    if not far or address.password or address.transport is Transport.SENTINEL:
        return []
    remedy = "Set a password (ACL SETUSER or requirepass) and put it into REDIS_URL."
    return [Symptom(Level.WARNING, f"{far[0]} lets anybody in without a password, portals' keys included", remedy)]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
