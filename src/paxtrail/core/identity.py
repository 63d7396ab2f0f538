"""Who is one person: which identifiers may link, which only find, and the customers that follow from the edges."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

from paxtrail.core import normalise
from paxtrail.core.records import Identifier

Edge = tuple[str, str, str, str]  # (a_namespace, a, b_namespace, b), tokens with a < b

# Strongest first: the order in which a person's identifiers become the subject of an event.
STRONG = ("loyalty", "idp", "document", "passenger")
WEAK = ("email", "phone", "device", "session")
_RANK = {namespace: rank for rank, namespace in enumerate((*STRONG, *WEAK))}

# Mailboxes of a role, a desk or a machine are nobody's (domain rules: agencies, the airline's own desks).
_ROLES = """
    abuse accounts admin administrator agency agent booking bookings contact customercare customerservice desk donotreply enquiries
    enquiry frontdesk groups hello help helpdesk hostmaster info mail mailer-daemon marketing no-reply nobody noreply office operations
    ops postmaster reception res reservation reservations reservas root sales security service support ticket ticketing tickets tour
    tours travel travels traveldesk webmaster anonymous null none na n.a test unknown invalid notprovided noemail
"""
_ROLE_MAILBOXES = frozenset(_ROLES.split())
_WORTHLESS = re.compile(r"(?:[0-]*|-1|null|none|undefined|anonymous|unknown|invalid|n/?a)", re.IGNORECASE)
_LONGEST_VALUE = 1024


def email_identifier(text: str) -> Identifier | None:
    """The `email` identifier of a person's own address; None if it is no address or a role's or machine's mailbox."""
    address = normalise.email(text)
    if address is None:
        return None
    mailbox = address.rpartition("@")[0].partition("+")[0]
    return None if mailbox in _ROLE_MAILBOXES else Identifier("email", address)


def phone_identifier(text: str, region_hint: str | None = None) -> Identifier | None:
    """The `phone` identifier of a person's own number; None if it cannot be a number (too short, one digit repeated)."""
    number = normalise.phone(text, region_hint)
    return None if number is None else Identifier("phone", number)


def loyalty_identifier(airline: str, number: str) -> Identifier | None:
    """The `loyalty` identifier of a membership; None if the number is a filler (0000, XXXXXX)."""
    return _document_like("loyalty", airline, number)


def document_identifier(country: str, kind: str, number: str) -> Identifier | None:
    """The `document` identifier of a travel document; None if the number is a filler (0000, XXXXXX)."""
    return _document_like("document", f"{country}|{kind}".upper(), number)


def _document_like(namespace: str, prefix: str, number: str) -> Identifier | None:
    value = normalise.letters_and_digits(number)
    return None if len(set(value)) < 2 else Identifier(namespace, f"{prefix}|{value}")


def idp_identifier(issuer: str, subject: str) -> Identifier | None:
    """The `idp` identifier of an account at an identity provider; None if the subject is a filler."""
    found = opaque_identifier("idp", subject)
    return None if found is None else Identifier("idp", f"{issuer.strip().rstrip('/')}|{found.value}")


def opaque_identifier(namespace: str, text: str) -> Identifier | None:
    """The identifier of an id taken as it is (device, session); None for what clients send when they have none (0000, null, …)."""
    value = text.strip()
    return None if len(value) > _LONGEST_VALUE or _WORTHLESS.fullmatch(value) else Identifier(namespace, value)


def ranked(identifiers: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """The same identifiers, each once, strongest first; the first one is the subject."""
    return tuple(sorted(set(identifiers), key=lambda identifier: (_RANK[identifier.namespace], identifier)))


def edges_of(subject: tuple[str, str] | None, identifiers: Iterable[tuple[str, str]]) -> list[Edge]:
    """Edges between the strong tokens that one event gives to one person; arguments are (namespace, token) pairs.

    Weak identifiers never link. `identifiers` may or may not repeat the subject.
    """
    if subject is None:
        return []
    tokens = {token: namespace for namespace, token in (subject, *identifiers) if namespace in STRONG}
    return [(tokens[a], a, tokens[b], b) for a, b in combinations(sorted(tokens), 2)]


def customers(edges: Iterable[Edge]) -> dict[str, str]:
    """Customer id of every token in the edges: the oldest (smallest) token of its connected part.

    The same for any order and repetition of the edges. A `passenger` token next to two different `loyalty` tokens stands for two
    people of one name in one reservation: it links to nobody, and a token left with no edge is its own customer.
    """
    accepted = set(edges)
    members: defaultdict[str, set[str]] = defaultdict(set)
    for a_namespace, a, b_namespace, b in accepted:
        if (a_namespace, b_namespace) == ("passenger", "loyalty"):
            members[a].add(b)
        elif (a_namespace, b_namespace) == ("loyalty", "passenger"):
            members[b].add(a)
    ambiguous = {passenger for passenger, loyalties in members.items() if len(loyalties) > 1}

    parent: dict[str, str] = {}

    def root(token: str) -> str:
        while parent[token] != token:
            parent[token] = parent[parent[token]]
            token = parent[token]
        return token

    for _, a, _, b in accepted:
        parent.setdefault(a, a)
        parent.setdefault(b, b)
        if a in ambiguous or b in ambiguous:
            continue
        low, high = sorted((root(a), root(b)))
        parent[high] = low  # the root stays the smallest token of its part
    return {token: root(token) for token in parent}
