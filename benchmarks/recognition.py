"""Measures how well made-up libraries are sorted into people, and how fast (libraries.py makes them).

The same faces arrive in several orders, photo by photo. Of each partition: precision, recall and F1 over all
pairs of faces, how many people of one face there are, how many faces wait, and how many pairs of siblings
were merged: of those who are together on some photo, and of the others, of whom nothing but likeness can
tell. A face that waits counts as alone.

  ours, as they come   deciding.py, as the worker runs it, with the 30 nearest of what has arrived
  ours, re-clustered   clustering.py, as `people recluster` runs it; also whether all orders end alike
  greedy               the rule of the existing system: join the closest of ten hits from 0.7
  DBSCAN               scikit-learn's, cosine distance 0.5 and three neighbours
  speed                the real recogniser on SQLite and the embedded vectors, with so many faces known
                       (recognising.py says under which conditions)

The last line of the output is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from benchmarks.libraries import Library, make_library
from intelligence.recognition.clustering import BLOCK, NOBODY, Faces, cluster, nearest
from intelligence.recognition.deciding import Memory, Role, Seen, decide_photo, heard_by
from intelligence.recognition.rules import Rules

RULES = Rules(same_person_from=0.5)
"""As measured for the models whose cosines the libraries imitate."""
HITS = 30
GREEDY_FROM, GREEDY_HITS = 0.7, 10
TARGETS = {"precision": 0.995, "F1": 0.97, "siblings merged": 0, "faces a second": 300}

Labels = NDArray[np.int64]
Neighbours = list[tuple[NDArray[np.int32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Score:
    what: str
    precision: float
    recall: float
    f1: float
    alone: int
    waiting: int
    siblings_merged: int
    """Of those who are together on a photo."""
    other_siblings_merged: int

    def __str__(self) -> str:
        return (
            f"{self.what:<32} {self.precision:9.5f} {self.recall:8.4f} {self.f1:8.4f} {self.alone:7} "
            f"{self.waiting:8} {self.siblings_merged:9} {self.other_siblings_merged:6}"
        )


def main() -> int:
    options = _options()
    began = time.monotonic()
    library = make_library(options.faces, options.people, options.seed)
    notes = list(_cosines(library))
    scores, seconds, alike = _sort(library, options.orders)
    print(*notes, sep="\n")
    print(f"{'':<32} precision   recall       F1   alone  waiting  siblings merged, others")
    print(*scores, sep="\n")
    print(f"re-clustered alike in all orders: {alike}; {min(seconds):.0f}-{max(seconds):.0f} s each")
    speed = None
    if options.known:
        from benchmarks.recognising import measure  # noqa: PLC0415  (loads the settings)

        with tempfile.TemporaryDirectory(prefix="store-benchmark-") as folder:
            speed = measure(Path(folder), known=options.known, fresh=options.fresh)
        print(
            f"{speed.by_the_clock:.0f} faces a second, {options.known} known (target "
            f"{TARGETS['faces a second']}); {speed.by_the_processor:.0f} a second of processor time"
        )
    summary = {
        "faces": options.faces,
        "people": options.people,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - began),
        "alike": alike,
        "faces_a_second": speed and asdict(speed),
        "targets": TARGETS,
        "scores": [asdict(score) for score in scores],
    }
    print(json.dumps(summary))
    return 0


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=20_000, help="in the library (%(default)s)")
    parser.add_argument("--people", type=int, default=500, help="really (%(default)s)")
    parser.add_argument("--orders", type=int, default=5, help="of arrival (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the library (%(default)s)")
    parser.add_argument("--known", type=int, default=100_000, help="faces, for the speed; 0: leave it out")
    parser.add_argument("--fresh", type=int, default=2_000, help="faces recognised for it (%(default)s)")
    return parser.parse_args()


def _cosines(library: Library, sample: int = 3000) -> Iterator[str]:
    chosen = np.random.default_rng(0).permutation(len(library.people))[:sample]
    alike = library.vectors[chosen] @ library.vectors[chosen].T
    good = library.quality[chosen] >= RULES.good_quality
    same = library.people[chosen][:, None] == library.people[chosen][None]
    once = np.triu(np.ones_like(same), 1).astype(bool)
    both, mixed = good[:, None] & good[None], good[:, None] ^ good[None]
    for name, which in (
        ("same person, good crops", same & both),
        ("same person, one crop poor", same & mixed),
        ("different people, good crops", ~same & both),
    ):
        quantiles = np.quantile(alike[which & once], [0.01, 0.05, 0.5, 0.95, 0.99, 1.0])
        told = " ".join(f"{value:6.2f}" for value in quantiles)
        yield f"cosines, {name:<30} 1 %, 5 %, half, 95 %, 99 %, all below: {told}"


def _sort(library: Library, orders: int) -> tuple[list[Score], list[float], bool]:
    near = _neighbours(library, RULES.same_person_from)
    scores, seconds, partitions = [], [], []
    for number in range(orders):
        order = _arrivals(library, number)
        scores.append(
            _score(f"ours, as they come, order {number}", _as_they_come(library, near, order), library)
        )
        started = time.monotonic()
        settled = _settled(library, order)
        seconds.append(time.monotonic() - started)
        partitions.append(settled)
        scores.append(_score(f"ours, re-clustered, order {number}", settled, library))
        scores.append(_score(f"greedy, order {number}", _greedily(near, order), library))
    scores.append(_score("DBSCAN", _dbscan(library), library))
    first = partitions[0]
    return scores, seconds, all(_is_same(first, other) for other in partitions[1:])


def _arrivals(library: Library, number: int) -> NDArray[np.int64]:
    """Photos in a random order; the faces of a photo together."""
    photos = np.random.default_rng(100 + number).permutation(int(library.photos.max()) + 1)
    return np.argsort(photos[library.photos], kind="stable")


def _neighbours(library: Library, least: float) -> Neighbours:
    """Of each face all that are alike, the closest first."""
    found: Neighbours = []
    for start in range(0, len(library.vectors), BLOCK):
        for row, alike in enumerate(library.vectors[start : start + BLOCK] @ library.vectors.T):
            alike[start + row] = -1
            near = np.flatnonzero(alike >= least).astype(np.int32)
            near = near[np.argsort(-alike[near], kind="stable")]
            cosines: NDArray[np.float32] = alike[near]
            found.append((near, cosines))
    return found


def _as_they_come(library: Library, near: Neighbours, order: NDArray[np.int64]) -> Labels:
    memory = Memory({}, Counter())
    arrived = np.zeros(len(order), dtype=bool)
    start = 0
    while start < len(order):
        photo = library.photos[order[start]]
        end = start
        while end < len(order) and library.photos[order[end]] == photo:
            end += 1
        arrived[order[start:end]] = True
        again = {int(face) for face in order[start:end]}
        while again:
            again = _look(library, near, arrived, again, memory)
        start = end
    people = [memory.faces[face].person for face in range(len(order))]
    return np.array([NOBODY if person is None else -person + 1 for person in people])


def _look(
    library: Library, near: Neighbours, arrived: NDArray[np.bool_], faces: set[int], memory: Memory
) -> set[int]:
    """One batch, by photo; answers which faces that wait have heard of somebody."""
    heard: set[int] = set()
    by_photo: dict[int, list[Seen]] = {}
    taken: dict[int, set[int]] = {}
    for face in sorted(faces):
        known = memory.faces.get(face)
        here = near[face][0][arrived[near[face][0]]][:HITS]
        cosines = near[face][1][arrived[near[face][0]]][:HITS]
        seen = Seen(
            face,
            float(library.quality[face]),
            list(zip(here.tolist(), cosines.tolist(), strict=True)),
            person=known.person if known else None,
            role=known.role if known else None,
            spoke_for=known.person if known and known.speaks else None,
        )
        by_photo.setdefault(int(library.photos[face]), []).append(seen)
    for photo, seen_here in by_photo.items():
        others = _on_photo(library, photo) - {seen.face for seen in seen_here}
        known_others = (memory.faces[face].person for face in others if face in memory.faces)
        taken[photo] = {person for person in known_others if person is not None}
        outcomes = decide_photo(photo, seen_here, memory, RULES, taken[photo])
        heard |= heard_by(outcomes, memory)
    return {face for face in heard - faces if memory.faces[face].role is Role.WAITING}


def _on_photo(library: Library, photo: int) -> set[int]:
    start, end = np.searchsorted(library.photos, [photo, photo + 1])
    return set(range(int(start), int(end)))  # faces are numbered photo by photo


def _settled(library: Library, order: NDArray[np.int64]) -> Labels:
    """As plans.py: first in an order that says nothing of when the faces came."""
    keys = [library.vectors[face].tobytes() for face in order]
    own = order[sorted(range(len(order)), key=keys.__getitem__)]
    faces = Faces(
        library.vectors[own],
        library.quality[own],
        library.photos[own],
        np.full(len(own), NOBODY, dtype=np.int64),
    )
    groups = cluster(faces, nearest(faces.vectors, RULES.same_person_from, 40), RULES).groups
    labels = np.empty_like(groups)
    labels[own] = groups
    return labels


def _greedily(near: Neighbours, order: NDArray[np.int64]) -> Labels:
    labels = np.full(len(order), NOBODY, dtype=np.int64)
    arrived = np.zeros(len(order), dtype=bool)
    for number, face in enumerate(order):
        indices, cosines = near[face]
        there = arrived[indices] & (cosines >= GREEDY_FROM)
        hits = indices[there][:GREEDY_HITS]
        labels[face] = labels[hits[0]] if len(hits) else number
        arrived[face] = True
    return labels


def _dbscan(library: Library) -> Labels:
    found: Labels = DBSCAN(eps=0.5, min_samples=3, metric="cosine").fit_predict(library.vectors)
    return found


def _score(what: str, labels: Labels, library: Library) -> Score:
    waiting = labels == NOBODY
    alone = labels.copy()
    alone[waiting] = labels.max() + 1 + np.arange(waiting.sum())
    _, groups = np.unique(alone, return_inverse=True)
    cells = Counter(zip(groups.tolist(), library.people.tolist(), strict=True))
    together = _pairs(cells.values())
    given, true = np.bincount(groups), np.bincount(library.people)
    precision = together / max(1, _pairs(given.tolist()))
    recall = together / max(1, _pairs(true.tolist()))
    main = {person: group for (group, person), _ in sorted(cells.items(), key=lambda cell: cell[1])}
    merged = [
        (one, other)
        for one, other in library.siblings
        if one in main and other in main and main[one] == main[other] and given[main[one]] > 1
    ]
    seen_together = sum(_are_together(library, one, other) for one, other in merged)
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    single = int((given == 1).sum()) - int(waiting.sum())
    others = len(merged) - seen_together
    return Score(what, precision, recall, f1, single, int(waiting.sum()), seen_together, others)


def _are_together(library: Library, one: int, other: int) -> bool:
    """On some photo."""
    photos = [library.photos[library.people == person] for person in (one, other)]
    return len(np.intersect1d(*photos)) > 0


def _pairs(sizes: object) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)  # type: ignore[attr-defined]


def _is_same(one: Labels, other: Labels) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    waits_alike = bool(((one == NOBODY) == (other == NOBODY)).all())
    return waits_alike and len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


if __name__ == "__main__":
    sys.exit(main())
