"""The query parameters and bodies that steer a request: list, watch, write and delete options."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from controller.kube.transport import Request
from controller.sandbox.apiserver import failures
from controller.sandbox.apiserver.bodies import decoded, header
from controller.sandbox.apiserver.core import User
from controller.sandbox.apiserver.failures import Fault, bad_request, forbidden_field, unsupported

Json = dict[str, Any]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NOT_OLDER_THAN: Final = "NotOlderThan"
EXACT: Final = "Exact"


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a list or watch asks for, unchecked against any kind."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    timeout: int = 0  # s; 0 when not given
    send_initial_events: bool | None = None

    @property
    def version(self) -> int:
        """The resourceVersion as a number, 0 when empty; raises 400."""
        text = self.resource_version
        if text and not text.isdecimal():
            raise bad_request(f"invalid resource version: {text!r} is not a number")
        return int(text or 0)


class WriteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes, and how. ``warnings`` collects what goes into ``Warning`` headers."""

    user: User
    manager: str
    manager_given: bool = False
    dry_run: bool = False
    validation: str = ""  # Strict, Warn or Ignore; "" warns of unknown fields only
    force: bool | None = None
    warnings: list[str] = []


class DeleteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to delete. ``policy`` is "" when nothing was asked for."""

    uid: str | None = None
    resource_version: str | None = None
    policy: str = ""
    grace: int | None = None  # s
    dry_run: bool = False


def list_options(request: Request, *, streaming_lists: bool) -> ListOptions:
    """The list options of a request; raises 400 and 422."""
    query = dict(request.query)
    send = query.get("sendInitialEvents")
    options = ListOptions(
        labels=query.get("labelSelector", ""),
        fields=query.get("fieldSelector", ""),
        limit=_number(query, "limit"),
        continue_token=query.get("continue", ""),
        resource_version=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
        watch=_flag(query, "watch"),
        bookmarks=_flag(query, "allowWatchBookmarks"),
        timeout=_number(query, "timeoutSeconds"),
        send_initial_events=None if send is None else _flag(query, "sendInitialEvents"),
    )
    faults = _watch_faults(options, streaming_lists) if options.watch else _list_faults(options)
    if faults:
        raise failures.invalid("meta.k8s.io", "ListOptions", "", faults)
    return options


def _list_faults(options: ListOptions) -> list[Fault]:
    found: list[Fault] = []
    if options.match:
        field = "resourceVersionMatch"
        if not options.resource_version:
            found.append(forbidden_field(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.continue_token:
            found.append(forbidden_field(field, "resourceVersionMatch is forbidden when continue is provided"))
        if options.match not in (EXACT, NOT_OLDER_THAN):
            found.append(unsupported(field, options.match, (EXACT, NOT_OLDER_THAN)))
        if options.match == EXACT and options.resource_version == "0":
            found.append(forbidden_field(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        found.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _watch_faults(options: ListOptions, streaming_lists: bool) -> list[Fault]:
    found: list[Fault] = []
    field = "resourceVersionMatch"
    if options.send_initial_events is not None:
        if options.match != NOT_OLDER_THAN:
            why = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
            found.append(forbidden_field(field, why))
        if not streaming_lists:
            why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            found.append(forbidden_field("sendInitialEvents", why))
    if options.match:
        if options.send_initial_events is None:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(forbidden_field(field, why))
        if options.match != NOT_OLDER_THAN:
            found.append(unsupported(field, options.match, (NOT_OLDER_THAN,)))
        if options.continue_token:
            found.append(forbidden_field(field, "resourceVersionMatch is forbidden when continue is provided"))
    return found


def write_options(request: Request, user: User) -> WriteOptions:
    """The write options of a request; raises 422."""
    query = dict(request.query)
    given = query.get("fieldManager", "")
    faults: list[Fault] = []
    if len(given) > 128:
        faults.append(failures.too_long("fieldManager", 128))
    if not given.isprintable():
        faults.append(failures.invalid_value("fieldManager", given, "should only contain printable characters"))
    validation = query.get("fieldValidation", "")
    if validation not in ("", "Strict", "Warn", "Ignore"):
        faults.append(unsupported("fieldValidation", validation, ("Ignore", "Strict", "Warn")))
    if query.get("dryRun", "All") != "All":
        faults.append(unsupported("dryRun", [query["dryRun"]], ("All",)))
    if faults:
        verb = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(request.method, "PatchOptions")
        raise failures.invalid("meta.k8s.io", verb, "", faults)
    force = query.get("force")
    return WriteOptions(
        user=user,
        manager=given or manager_of(header(request, "user-agent")),
        manager_given=bool(given),
        dry_run="dryRun" in query,
        validation=validation,
        force=None if force is None else _flag(query, "force"),
        warnings=[],
    )


def delete_options(request: Request) -> DeleteOptions:
    """The delete options in body and query; raises 400 and 422."""
    query = dict(request.query)
    try:
        body = decoded(request) if request.body.strip() else {}
        preconditions = body.get("preconditions") or {}
        policy = body.get("propagationPolicy") or query.get("propagationPolicy", "")
        if body.get("orphanDependents") is not None:
            policy = policy or ("Orphan" if body["orphanDependents"] else "Background")
        grace = body.get("gracePeriodSeconds")
        if grace is None and "gracePeriodSeconds" in query:
            grace = int(query["gracePeriodSeconds"])
        options = DeleteOptions(
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            policy=policy,
            grace=None if grace is None else int(grace),
            dry_run=bool(body.get("dryRun")) or "dryRun" in query,
        )
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError) as error:
        raise bad_request(f"couldn't decode the delete options: {error}") from None
    if policy not in ("", "Background", "Foreground", "Orphan"):
        known = ("Background", "Foreground", "Orphan", "nil")
        fault = unsupported("propagationPolicy", policy, known)
        raise failures.invalid("meta.k8s.io", "DeleteOptions", "", [fault])
    return options


def manager_of(user_agent: str) -> str:
    """The field manager a request without one stands for: the program's name in its user agent."""
    return "".join(c for c in user_agent.partition("/")[0] if c.isprintable())[:128] or "unknown"


def timeout_of(request: Request) -> float | None:
    """``?timeout=`` in seconds; raises 400 when it is no Go duration."""
    text = dict(request.query).get("timeout", "")
    if not text:
        return None
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise bad_request(f'invalid timeout specified in the request URL: "{text}" is no duration')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _flag(query: dict[str, str], key: str) -> bool:
    text = query.get(key, "false").lower()
    return text not in ("false", "0", "f")


def _number(query: dict[str, str], key: str) -> int:
    text = query.get(key, "") or "0"
    try:
        return int(text)
    except ValueError:
        raise bad_request(f"strconv.ParseInt: parsing {text!r}: invalid syntax") from None
