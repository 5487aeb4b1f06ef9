"""Several judges as one: ``ensemble:A,B,C`` answers yes where most of them do.

A member is any judge that finds its weights by its name alone. Each is asked every question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice, takewhile
from typing import Any

from dpgbench.backends.entries import argument_of
from dpgbench.backends.judges.answer_checks import checked_description
from dpgbench.backends.judges.request import load_judge
from dpgbench.backends.judges.table import find_family, find_judge
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeReply, JudgeRequest, TileQuestions
from dpgbench.domain.aggregate import mean_of
from dpgbench.domain.answer_text import is_missing, read_yes_no
from dpgbench.errors import IncompleteError, UsageError

RULE = "majority of valid votes; a tie is no"
_TOO_MANY_IN_A_ROW = 3
_LEAST_IMAGES = 4  # so that a member that works on many images at a time has some


class EnsembleJudge(Judge):
    """The majority of its members' answers, and how often they agree."""

    def __init__(self, request: JudgeRequest) -> None:
        names = member_names(request.name)
        if request.revision:
            raise UsageError(
                f"--revision {request.revision}: judge {request.name} has several models, each "
                "taken at its own default revision; ask them one by one to choose revisions"
            )
        self.members: dict[str, Judge] = {
            name: load_judge(replace(request, name=name, weights={}, options={})) for name in names
        }
        likes = [judge.num_images_at_once for judge in self.members.values()]
        self.num_images_at_once = request.batch_size or max(_LEAST_IMAGES, *likes)
        self.counts: Counter[str] = Counter()
        self.failed_in_a_row: Counter[str] = Counter()

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: each member's own description, in order."""
        return {
            "rule": RULE,
            "members": [
                {"judge": name, **checked_description(judge.class_name, judge.describe())}
                for name, judge in self.members.items()
            ],
        }

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield one reply a tile; what a member does not answer stays open.

        Raises:
            IncompleteError: a member fails on tile after tile.
        """
        while batch := list(islice(tiles, self.num_images_at_once)):
            by_member = [self._collect(name, batch) for name in self.members]
            for number, tile in enumerate(batch):
                yield self._reply(tile, [replies[number] for replies in by_member])

    def account(self) -> Mapping[str, int]:
        """Return how often members agreed, as counts that add up over resumed work.

        ``questions``: answered by all. ``unanimous``: of these, all votes equal. ``invalid A``:
        answers of A that were no vote. ``voted A & B``: questions on which both voted.
        ``agreed A & B``: of these, alike.
        """
        pairs = [f"{a} & {b}" for a, b in combinations(self.members, 2)]
        names = ["questions", "unanimous", *(f"invalid {name}" for name in self.members)]
        names += [f"{what} {pair}" for pair in pairs for what in ("voted", "agreed")]
        return {name: self.counts[name] for name in names}

    def _collect(self, name: str, tiles: Sequence[TileQuestions]) -> list[JudgeReply]:
        """Return what a member says of each tile, in their order, whatever order it replies in.

        Raises:
            IncompleteError: it fails on tile after tile, so that the trouble is not with them; the
                other members cost too.
        """
        merged: dict[tuple[str, int], JudgeReply] = {}
        before = self.failed_in_a_row[name]
        for reply in self.members[name].replies(iter(tiles)):
            key = (reply.item_id, reply.tile)
            part = merged.get(key, JudgeReply(*key, {}))
            merged[key] = part._replace(
                answers={**part.answers, **reply.answers},
                error=part.error if reply.error is None else reply.error,
            )
            failed = list(takewhile(_has_failed, reversed(merged.values())))
            self.failed_in_a_row[name] = len(failed) + (before if len(failed) == len(merged) else 0)
            if self.failed_in_a_row[name] >= _TOO_MANY_IN_A_ROW:
                raise IncompleteError(
                    f"judge {name} of the ensemble failed on {_TOO_MANY_IN_A_ROW} images in a row, "
                    f"at last on {failed[0].item_id} tile {failed[0].tile}: {failed[0].error}; "
                    "answers so far are kept, run the command again to go on"
                )
        keys = [(tile.item_id, tile.tile) for tile in tiles]
        return [merged.get(key, JudgeReply(*key, {})) for key in keys]

    def _reply(self, tile: TileQuestions, replies: Sequence[JudgeReply]) -> JudgeReply:
        errors = [
            f"{name}: {reply.error}"
            for name, reply in zip(self.members, replies, strict=True)
            if reply.error is not None
        ]
        answers = {}
        for qid in tile.qids:
            if all(qid in reply.answers for reply in replies):
                by_member = [reply.answers[qid] for reply in replies]
                self._count([vote(answer) for answer in by_member])
                answers[qid] = majority(by_member)
        return JudgeReply(tile.item_id, tile.tile, answers, "; ".join(errors) or None)

    def _count(self, votes: Sequence[bool | None]) -> None:
        by_name = dict(zip(self.members, votes, strict=True))
        self.counts["questions"] += 1
        self.counts["unanimous"] += len(set(votes)) == 1 and votes[0] is not None
        for name, its_vote in by_name.items():
            self.counts[f"invalid {name}"] += its_vote is None
        for a, b in combinations(by_name, 2):
            if by_name[a] is not None and by_name[b] is not None:
                self.counts[f"voted {a} & {b}"] += 1
                self.counts[f"agreed {a} & {b}"] += by_name[a] == by_name[b]


def _has_failed(reply: JudgeReply) -> bool:
    return reply.error is not None


def member_names(name: str) -> list[str]:
    """Return the judges that an ensemble's name lists.

    Raises:
        UsageError: fewer than two, one twice, an ensemble among them, or an unknown name.
    """
    names = [part.strip() for part in argument_of(name).split(",")]
    if len(names) < 2 or not all(names):
        raise UsageError(f"judge {name}: list two or more judges, as in ensemble:mplug,hf:ORG/REPO")
    families = [find_family(member) for member in names]
    if any(family and family.lists_judges for family in families):
        raise UsageError(f"judge {name}: an ensemble cannot hold an ensemble; list its members")
    for member in names:
        if names.count(member) > 1:
            raise UsageError(f"judge {name}: {member} is listed twice; each judge votes once")
        find_judge(member)
    return names


def vote(answer: JudgeAnswer) -> bool | None:
    """Return whether an answer is a vote for yes; None where it is no vote at all.

    Other words than yes and no count as a no, as they do for the member asked alone.
    """
    if answer.invalid or is_missing(answer.text):
        return None
    return read_yes_no(answer.text) is True


def majority(answers: Sequence[JudgeAnswer]) -> JudgeAnswer:
    """Return yes where more than half of the valid votes are yes, else no.

    `p_yes` is the share of yes among the valid votes. Without any the answer is invalid.
    """
    votes = [v for v in map(vote, answers) if v is not None]
    truncated = any(answer.truncated for answer in answers)
    if not votes:
        texts = " | ".join(answer.text for answer in answers)
        return JudgeAnswer(texts, truncated=truncated, invalid=True)
    share = mean_of(votes)
    return JudgeAnswer("yes" if share > 0.5 else "no", share, truncated)
