"""Finding what hangs together by pairs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Union:
    """What hangs together, by the smallest of each."""

    _above: dict[int, int] = field(default_factory=dict)

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self._above[high] = low

    def find(self, item: int) -> int:
        root = item
        while (above := self._above.setdefault(root, root)) != root:
            root = above
        while self._above[item] != root:
            self._above[item], item = root, self._above[item]
        return root

    def groups(self) -> dict[int, list[int]]:
        """Those of two or more."""
        found: dict[int, list[int]] = {}
        for item in self._above:
            found.setdefault(self.find(item), []).append(item)
        return {name: members for name, members in found.items() if len(members) > 1}
