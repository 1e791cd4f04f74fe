"""The farm: all portals, the clock they share, the faults in force and the journal."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from emulator.clock import Clock
from emulator.faults import FaultRules
from emulator.journal import JOURNAL_SIZE, Counters, Journal
from emulator.oauth import TokenServer
from emulator.portal import Portal
from emulator.reading import Reader, SettingsError
from emulator.records import Tally
from emulator.settings import PortalSettings, read_settings

TEMPLATE = "*"

Result = TypeVar("Result")


@dataclass(slots=True)
class Effects:
    """What has really been paid, and whether exactly once."""

    tally: Tally
    counts: dict[int, int]  # record -> full "paid" side effects, for one portal
    doubled: list[tuple[str, int, int]]  # portal, record, side effects; at most a hundred


@dataclass(slots=True)
class Farm:
    """State of every portal; portals appear on first contact."""

    clock: Clock = field(default_factory=Clock)
    journal: Journal = field(default_factory=Journal)
    faults: FaultRules = field(default_factory=FaultRules)
    portals: dict[str, Portal] = field(default_factory=dict)
    given: dict[str, dict[str, object]] = field(default_factory=dict)
    oauth: TokenServer = field(init=False)
    _template: PortalSettings = field(default_factory=PortalSettings)
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.oauth = TokenServer(Clock(self.clock.now))

    def portal(self, name: str) -> Portal:
        """The portal of an authority, made from the template when it is new."""
        portal = self.portals.get(name)
        if portal is None:
            portal = self.portals[name] = Portal(name, self._template, self.clock, self.oauth)
        return portal

    def settings(self, name: str) -> PortalSettings:
        """The settings in force for a portal or, under "*", the template."""
        if name == TEMPLATE:
            return self._template
        known = self.portals.get(name)
        return known.settings if known else self._template

    def put(self, name: str, value: dict[str, object]) -> PortalSettings:
        """Replace what a portal (or the template, "*") was told; portals inherit from the template."""
        inherited = {} if name == TEMPLATE else self.given.get(TEMPLATE, {})
        settings = read_settings(_over(inherited, value))
        self.given[name] = value
        if name == TEMPLATE:
            self._template = settings
            self._inherit()
        else:
            self.portal(name).configure(settings)
        self.journal.change(self.clock.now(), name, "settings.put", detail=", ".join(value))
        return settings

    def patch(self, name: str, value: dict[str, object]) -> PortalSettings:
        """Change some of a portal's settings (or the template's) and keep the others."""
        return self.put(name, {**self.given.get(name, {}), **value})

    def patch_oauth(self, name: str, value: dict[str, object]) -> PortalSettings:
        """Change some of the `oauth` settings of a portal (or of the template) and keep the others."""
        own = self.given.get(name, {}).get("oauth", {})
        return self.patch(name, {"oauth": {**(own if isinstance(own, dict) else {}), **value}})

    def rename(self, name: str, to: str, status: int = 302) -> None:
        """Give a portal another address: all it is and knows moves there, the old address redirects."""
        if to in self.portals:
            raise SettingsError(f"to: {to!r} is a portal already")
        portal = self.portal(name)
        del self.portals[name]
        portal.name, self.portals[to] = to, portal
        self.given[to] = self.given.pop(name, {})
        self.put(name, {"redirect": to, "redirect_status": status})
        self.journal.change(self.clock.now(), to, "portal.renamed", detail=name)

    def _inherit(self) -> None:
        template = self.given[TEMPLATE]
        for name, portal in self.portals.items():
            own = self.given.get(name)
            portal.configure(self._template if own is None else read_settings(_over(template, own), name))

    def reset(self, name: str | None = None) -> None:
        """Forget what happened on one portal, or everything but the clock and the template."""
        if name is None:
            self.portals.clear()
            self.oauth.forget()
            self.given = {key: value for key, value in self.given.items() if key == TEMPLATE}
            self.faults.remove()
            self.journal.clear()
        else:
            if name in self.portals:
                self.oauth.forget(self.portals.pop(name))
            self.given.pop(name, None)

    def hold(self, work: Coroutine[object, None, Result]) -> "asyncio.Task[Result]":
        """Run work that nobody's hanging up may stop."""
        task: asyncio.Task[Result] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Stop the work still going on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def counters(self, name: str | None = None) -> Counters:
        """Counters of one portal, or of all together."""
        if name is not None:
            known = self.portals.get(name)
            return known.counters if known else Counters()
        total = Counters()
        for portal in self.portals.values():
            _add(total, portal.counters)
        return total

    def effects(self, name: str | None = None, *, payments: bool = False) -> Effects:
        """Side effects of one portal with the count of each record, or the totals of all."""
        chosen = [p for p in self.portals.values() if name in (None, p.name)]
        tally, doubled = Tally(), []
        counts: dict[int, int] = {}
        for portal in chosen:
            store = portal.payments if payments else portal.invoices
            for item in Tally.__slots__:
                setattr(tally, item, getattr(tally, item) + getattr(store.tally, item))
            if store.tally.doubles:
                doubled += [(portal.name, n, r.effects) for n, r in store.rows.items() if r.effects > 1]
            if name is not None:
                counts = {number: row.effects for number, row in store.rows.items() if row.effects}
        return Effects(tally, counts, doubled[:100])


def _over(template: dict[str, object], own: dict[str, object]) -> dict[str, object]:
    merged = {**template, **own}
    inner = template.get("oauth"), own.get("oauth")
    # One level deeper here: a portal with a mood of its own still is a client of the template's application.
    if isinstance(inner[0], dict) and isinstance(inner[1], dict):
        merged["oauth"] = {**inner[0], **inner[1]}
    return merged


def _add(total: Counters, part: Counters) -> None:
    for name in Counters.__slots__:
        value = getattr(part, name)
        if name == "max_depth":
            total.max_depth = max(total.max_depth, part.max_depth)
        elif isinstance(value, int):
            setattr(total, name, getattr(total, name) + value)
        else:
            getattr(total, name).update(value)


def make_farm(config: object = None, *, clock: Clock | None = None) -> Farm:
    """A farm from a JSON configuration: {"template", "portals", "faults", "seed", "journal_size"}."""
    from emulator.faults import read_fault

    reader = Reader({} if config is None else config, "config")
    farm = Farm(clock=clock or Clock(), journal=Journal(reader.whole("journal_size", JOURNAL_SIZE, low=1)))
    farm.faults.reseed(reader.whole("seed", 0))
    template = reader.members("template")
    if template is not None:
        farm.put(TEMPLATE, {name: value for name, _, value in template})
    for name, where, value in reader.members("portals") or []:
        farm.put(name.lower(), {key: item for key, _, item in Reader({"p": value}, where).members("p") or []})
    for where, value in reader.objects("faults") or []:
        farm.faults.add(read_fault(value, where))
    reader.finish()
    return farm
