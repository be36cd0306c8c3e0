"""The registry's state: which versions were champion, in their order, and which networks a person has rejected.

Pure functions. Aliases, tags and the commands' words follow from the state; tracking/registry.py keeps it in the store.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.tracking.journal import DECIDED, PROMOTED, ROLLED_BACK, Event

NETWORK_DIGITS = 16  # of a network's sha256: enough to distinguish networks, short enough to read


@dataclass(frozen=True)
class Champion:
    """A version that is or was champion: its number, and the first digits of its network's sha256."""

    version: str
    network: str


@dataclass(frozen=True)
class State:
    """The champions, oldest first, each network once; and the networks that a person rejected.

    The last one is the champion, the one before it is the previous champion. No champion's network is rejected.
    """

    champions: tuple[Champion, ...] = ()
    rejected: tuple[str, ...] = ()

    @property
    def champion(self) -> Champion | None:
        return self.champions[-1] if self.champions else None

    @property
    def previous(self) -> Champion | None:
        return self.champions[-2] if len(self.champions) > 1 else None

    def promote(self, version: Champion) -> "State":
        """Put a version on top; it replaces an older version of its network, and the network is no longer rejected."""
        others = tuple(champion for champion in self.champions if champion.network != version.network)
        return State((*others, version), tuple(network for network in self.rejected if network != version.network))

    def roll_back(self) -> "State":
        """Reject the champion's network and return to the champion before; the caller checks that there is one."""
        *below, top = self.champions
        assert below
        return State(tuple(below), (*self.rejected, top.network))


def replay(events: Iterable[Event], find: Callable[[Event], Champion | None]) -> State:
    """Return the state that a journal's events of one registered model lead to.

    `find` returns the version that has an event's content now, which may have another number; None if there is none.
    """
    state, networks = State(), dict[str, str]()
    for event in events:
        found = find(event)
        network = found.network if found else network_of(event)
        networks[event["version"]] = network
        if event["event"] == ROLLED_BACK:
            # Events of older versions name the rejected version by its number alone.
            rejected = event.get("rejected") or networks.get(event["against"], "")
            others = tuple(one for one in state.champions if one.network != rejected)
            state = State(others, tuple(dict.fromkeys((*state.rejected, rejected))))
            if state.champion and state.champion.network == network:
                continue
        elif event["event"] == DECIDED and not event["promote"]:
            continue
        state = state.promote(Champion(found.version if found else "", network))
    known = tuple(network for network in state.rejected if network)
    return State(tuple(champion for champion in state.champions if champion.version), known)


def last_champion(events: Iterable[Event]) -> int | None:
    """Return the journal's number of the version that was champion at the journal's end; None if there was none."""
    champion = replay(events, lambda event: Champion(str(event["version"]), network_of(event))).champion
    return int(champion.version) if champion else None


def last_decisions(events: Iterable[Event]) -> dict[int, Event]:
    """Return the last decision on each version, with its content, by the version's number in the journal."""
    decisions = dict[int, Event]()
    for event in events:
        if event["event"] in (DECIDED, PROMOTED):
            decisions[int(event["version"])] = event
        elif event["event"] == ROLLED_BACK and "reasons" in event and int(event["against"]) in decisions:
            rejected = int(event["against"])
            decisions[rejected] = decisions[rejected] | describe_rejection(event)
    return decisions


def describe_rejection(event: Event) -> Event:
    """Return the decision that a rollback leaves with the versions that it rejects."""
    reason = f"rejected by a person on {event['time'][:10]}: {event['reasons'][0]}"
    return {"against": event["version"], "policy": None, "promote": False, "reasons": [reason]}


def network_of(content: Mapping[str, Any]) -> str:
    """Return the state's name for the network that an event or a version's tags record; "" if they record none."""
    return str(content.get("onnx_sha256", ""))[:NETWORK_DIGITS]
