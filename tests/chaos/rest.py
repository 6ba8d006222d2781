"""What must be the same whenever nothing runs, and what may not grow: judgements on numbers, no server in sight."""

# MiB in 1,000 requests.
SLOPE_MAX = 1.0
# Fewer are noise: a page cache that trims once is a slope.
REQUESTS_MIN = 3000
# Of each life, which is not looked at: buffers and caches grow to their size.
WARM_UP = 1 / 3


def snapshot(memory, metrics, generations, descriptors):
    """All that should be still, out of /admin/memory and its neighbours."""
    slab, library = memory["slab"], memory["library"]
    slots = [[template["digest"][:8], slot["number"], slot["bytes"]]
             for template in memory["templates"] for slot in template["idle_slots"]]
    owners = {}
    for owner in slab["owners"]:
        owners[owner["owner"]] = owners.get(owner["owner"], 0) + owner["in_use"]
    return {
        "residency": sorted([voice["name"], voice["template"], voice["tier"]] for voice in library["voices"]),
        "slots": sorted(slots),
        "zones": {zone["zone"]: [zone["in_use"], zone["blocks"]] for zone in slab["zones"]},
        "owners": {name: bytes for name, bytes in sorted(owners.items()) if bytes},
        "in flight": metrics["koemasu_requests_in_flight"],
        "voices in flight": sum(voice["in_flight"] for voice in library["voices"]),
        "activations": next(zone["in_use"] for zone in slab["zones"] if zone["zone"] == "activations"),
        "workspace taken": memory["workspace"]["bytes"] - memory["workspace"]["free"],
        "generations": len(generations),
        "descriptors": descriptors,
    }


ZERO = ("in flight", "voices in flight", "activations", "workspace taken")


def restless(now):
    """What still runs."""
    found = [f"{name} {now[name]}" for name in ZERO if now[name]]
    if now["generations"] != 1:
        found.append(f"generations {now['generations']}")
    return found


def comparable(one, other):
    """Equal residency: the same voices in the same tiers, and the same slots open."""
    return one["residency"] == other["residency"] and one["slots"] == other["slots"]


def differences(one, other):
    found = []
    for name in ("zones", "owners", "descriptors"):
        for key in sorted({*one[name], *other[name]}):
            before, after = one[name].get(key, 0), other[name].get(key, 0)
            if before != after:
                found.append(f"{name}: {key} {before} -> {after}")
    return found


def slope(lives):
    """MiB in 1,000 requests by least squares over [(requests, MiB)] of each life, each with a level of its own.

    Gives the slope and the requests it is of.
    """
    above = below = span = 0.0
    for points in lives:
        if not points:
            continue
        start = points[0][0] + (points[-1][0] - points[0][0]) * WARM_UP
        warm = [(requests, rss) for requests, rss in points if requests >= start]
        if len(warm) < 3:
            continue
        mean_x = sum(x for x, _ in warm) / len(warm)
        mean_y = sum(y for _, y in warm) / len(warm)
        above += sum((x - mean_x) * (y - mean_y) for x, y in warm)
        below += sum((x - mean_x) ** 2 for x, _ in warm)
        span += warm[-1][0] - warm[0][0]
    return (1000 * above / below if below else 0.0), span


def creeps(lives, requests_min=REQUESTS_MIN):
    """Why it does, or an empty text."""
    rising, requests = slope(lives)
    if requests >= requests_min and rising > SLOPE_MAX:
        return f"RSS rises by {rising:.2f} MiB in 1,000 requests, over {requests:.0f}"
    return ""
