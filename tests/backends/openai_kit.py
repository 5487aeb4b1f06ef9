"""What the tests of the openai judge share: tiles with known answers, and quick patience."""

import base64
import hashlib
import os
from dataclasses import replace

from PIL import Image

from dpgbench.backends.judges.openai.judge import OpenAiJudge
from dpgbench.backends.judges.openai.prompts import data_url
from dpgbench.backends.judges.request import check_request
from dpgbench.backends.judges.table import FAMILIES
from dpgbench.backends.protocols import JudgeRequest, TileQuestions
from dpgbench.backends.rate_limit import RetryPolicy
from tests.backends.fake_openai import truth

KEY = "sk-test-0123456789-secret"
QUICK = RetryPolicy(
    tries=4, first_seconds=0.01, longest_seconds=0.05, refusing_seconds=1.0, timeout_seconds=5.0
)


class QuickJudge(OpenAiJudge):
    """The judge as the command line builds it, with little patience."""

    def __init__(self, request):
        super().__init__(request, QUICK)


def leave_alone(monkeypatch):
    """Let no setting of the user's count, and nobody wait."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("OPENAI_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    quick = replace(FAMILIES["openai:"], target=f"{__name__}:QuickJudge")
    monkeypatch.setitem(FAMILIES, "openai:", quick)


def judge_of(server, policy=QUICK, **options):
    options = {"base_url": server.url, "concurrency": 3, **options}
    request = JudgeRequest("openai:m", options=options)
    check_request(request)
    return OpenAiJudge(request, policy)


def picture(number):
    return Image.new("RGB", (8, 8), (number, 2 * number % 256, 90))


def name_of(image):
    """Return what the server calls a picture."""
    return hashlib.sha256(base64.b64decode(data_url(image).partition(",")[2])).hexdigest()


def tiles(count, questions=3):
    for number in range(count):
        qids = tuple(range(11, 11 + questions))
        texts = tuple(f"Is there a {{thing}} {qid} in {number}?" for qid in qids)
        yield TileQuestions(f"it{number}", number % 4, picture(number), qids, texts)


def collected(stream):
    """Return every answer by (item, tile, qid), and every error by item."""
    answers, errors = {}, {}
    for reply in stream:
        for qid, answer in reply.answers.items():
            assert (reply.item_id, reply.tile, qid) not in answers
            answers[reply.item_id, reply.tile, qid] = answer
        if reply.error is not None:
            assert reply.item_id not in errors
            errors[reply.item_id] = reply.error
    return answers, errors


def truths(count, questions=3):
    return {
        (tile.item_id, tile.tile, qid): truth(name_of(tile.image), question)
        for tile in tiles(count, questions)
        for qid, question in zip(tile.qids, tile.questions, strict=True)
    }


def texts(answers):
    return {key: answer.text for key, answer in answers.items()}
