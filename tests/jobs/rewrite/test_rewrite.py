"""`prompts rewrite` against a server that replays good and bad replies, by the command line."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.backends.llms.chat import ChatReply
from dpgbench.jobs.rewrite.conversation import RewriteSettings, cleaned, quoted, rewrite_prompt
from dpgbench.jobs.rewrite.tokens import count_roughly
from dpgbench.store.benchmarks import load_benchmark
from tests.backends.fake_openai import Act, Asked
from tests.backends.openai_kit import leave_alone
from tests.helpers import Ended, Run, json_lines, row, write_csv
from tests.jobs.make.kit import llm_server, reply
from tests.jobs.make.tiny_llm import write_scripted

PROMPTS = {
    "cat_1": "A red cat on a mat.",
    "dog_2": 'A dog beside a sign that says "NO DOGS".',
    "car_3": "A blue car, parked, in the rain, seen from above.",
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """Three prompts, each with two questions."""
    cells = [
        row(
            item,
            qid,
            str(qid - 1),
            text=text,
            keywords="k",
            category_broad="entity",
            category_detailed="whole",
            tuple=f"entity - whole ({item} {qid})",
            question_natural_language=f"Is there {item} {qid}?",
        )
        for item, text in PROMPTS.items()
        for qid in (1, 2)
    ]
    return write_csv(tmp_path / "pets.csv", cells)


def original(asked: Asked) -> str:
    """The prompt that a request is about."""
    messages = asked.request["messages"]
    return str(next(message["content"] for message in messages if message["role"] == "user"))


def longer(asked: Asked) -> Act:
    """A good model: every word of the prompt, and more."""
    return reply(f"{original(asked)} The light is soft, and the background is a plain grey wall.")


def rewrite(run: Run, server: object, *more: object, to: str = "longer") -> Ended:
    address = server.url  # type: ignore[attr-defined]
    words = ["--to", to, "--llm", "openai:m", "--base-url", address]
    return run("prompts", "rewrite", "pets.csv", *words, *more)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_another_benchmark_with_the_questions_of_the_original(
    run: Run, benchmark: Path, tmp_path: Path
) -> None:
    """Another name and other prompts; each question is the original's, and so is what is beside."""
    with llm_server(longer) as server:
        done = rewrite(run, server)
        assert done.code == 0, done.err
        assert len(server.asked) == 3
    table = tmp_path / "rewritten/pets-longer/pets-longer.csv"
    changed, before = load_benchmark(table), load_benchmark(benchmark)
    assert (changed.name, changed.questions_sha256) == ("pets-longer", before.questions_sha256)
    assert all(
        changed.prompts[i].startswith(text) and len(changed.prompts[i]) > len(text)
        for i, text in PROMPTS.items()
    )
    assert [cells["original_text"] for cells in rows(table)][::2] == list(PROMPTS.values())
    assert changed.rewritten_from == before.as_original(PROMPTS)
    assert run("prompts", "check", table, "--strict").code == 0
    record = json.loads((table.parent / "rewrite.json").read_text("utf-8"))
    assert record["original"]["prompts_sha256"] == before.prompts_sha256
    assert record["tokens"]["rewritten"] > record["tokens"]["original"]
    assert record["account"]["completion_tokens"] == 60
    assert record["failures"] == {}


def test_the_same_command_again_asks_nothing(run: Run, benchmark: Path, tmp_path: Path) -> None:
    """Nor where another prompt is new: that one alone is asked. Other settings are refused."""
    table = tmp_path / "rewritten/pets-longer/pets-longer.csv"
    with llm_server(longer) as server:
        rewrite(run, server, "--limit", 2)
        content = table.read_bytes()
        assert rewrite(run, server, "--limit", 2).code == 0
        assert (len(server.asked), table.read_bytes()) == (2, content)
        assert rewrite(run, server).code == 0
        assert len(server.asked) == 3
        refused = rewrite(run, server, "--tokens", 100)
        assert refused.code == 5
        assert "tokens was 128, is 100" in refused.error
        table.write_text(table.read_text().replace("plain", "bare"))
        assert rewrite(run, server).code == 5


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (reply(""), "the reply is empty"),
        (reply("I'm sorry, but I can't help with that."), "the reply refuses"),
        (reply("A red cat", "length"), "cut off"),
        (reply("A cat."), "not longer"),
        (reply("word " * 200), "200 tokens, and 128 are allowed"),
        (reply("A dog beside a sign with two words, in the soft light of dawn."), "'NO DOGS'"),
        (reply("None"), "the reply is the word"),
    ],
)
def test_a_reply_with_a_fault_is_asked_again_with_the_fault_quoted(
    run: Run, benchmark: Path, tmp_path: Path, bad: Act, fault: str
) -> None:
    """Once; a prompt whose replies stay so is listed with the reason, and not in the file."""

    def once(asked: Asked) -> Act:
        is_first = len(asked.request["messages"]) == 2
        return bad if is_first and "dog" in original(asked).lower() else longer(asked)

    def always(asked: Asked) -> Act:
        return bad if "dog" in original(asked).lower() else longer(asked)

    with llm_server(once) as server:
        assert rewrite(run, server, "--out", "one").code == 0
        repairs = [a.request["messages"][-1]["content"] for a in server.asked]
        assert sum(fault in str(text) for text in repairs) == 1
    with llm_server(always) as server:
        ended = rewrite(run, server, "--out", "two")
        assert (ended.code, len(server.asked)) == (6, 4)
        assert "dog_2 is not rewritten" in ended.err
    assert {cells["item_id"] for cells in rows(tmp_path / "two/pets-longer.csv")} == {
        "cat_1",
        "car_3",
    }
    failures = json.loads((tmp_path / "two/rewrite.json").read_text("utf-8"))["failures"]
    assert list(failures) == ["dog_2"]
    assert fault in failures["dog_2"]["reason"]
    with llm_server(longer) as server:
        assert rewrite(run, server, "--out", "two").code == 6  # by its kept replies
        assert server.asked == []
        assert rewrite(run, server, "--out", "two", "--again").code == 0
        assert len(server.asked) == 1


def test_shorter_prompts_and_those_that_are_short_already(
    run: Run, benchmark: Path, tmp_path: Path
) -> None:
    """What fits is not asked for; a text that was lost is told."""

    def shorter(asked: Asked) -> Act:
        return reply(" ".join(original(asked).split()[:5]))

    with llm_server(shorter) as server:
        ended = rewrite(run, server, "--tokens", 8, to="shorter")
        assert (ended.code, len(server.asked)) == (0, 2)
    assert "1 prompt had the length already and stayed as it was" in ended.err
    assert "1 prompt lost a text in quotation marks" in ended.err
    table = tmp_path / "rewritten/pets-shorter/pets-shorter.csv"
    prompts = load_benchmark(table).prompts
    assert prompts == {
        "cat_1": PROMPTS["cat_1"],
        "dog_2": "A dog beside a sign",
        "car_3": "A blue car, parked, in",
    }


def test_a_local_model_rewrites_and_one_that_cannot_is_listed(
    run: Run, benchmark: Path, tmp_path: Path
) -> None:
    """`hf:`: a network of transformers in this process; nothing rewritten is no file."""
    said = ["A red cat", " on a mat", ", in the soft light of dawn", " before a plain wall."]
    folder = write_scripted(tmp_path / "m", {"graph": said})
    words = ("prompts", "rewrite", "pets.csv", "--to", "longer", "--llm", f"hf:{folder}")
    more = ("--device", "cpu", "--items", "cat_1")
    assert run(*words, *more).code == 0
    table = tmp_path / "rewritten/pets-longer/pets-longer.csv"
    assert load_benchmark(table).prompts == {"cat_1": "".join(said)}
    dumb = write_scripted(tmp_path / "dumb", {"graph": ["No."]})
    ended = run(*words[:-1], f"hf:{dumb}", *more, "--out", "none")
    assert ended.code == 6
    assert "no file was written" in ended.out
    assert not (tmp_path / "none/pets-longer.csv").exists()
    assert "not longer" in (tmp_path / "none/rewrite.json").read_text("utf-8")


def test_lists_of_prompts_are_rewritten_as_lists(run: Run, tmp_path: Path) -> None:
    """Without questions, there is a table of ids and prompts that can be drawn."""
    (tmp_path / "pets.csv").write_text("id,prompt\na,A cat.\nb,A dog.\n")
    with llm_server(longer) as server:
        assert rewrite(run, server).code == 0
    changed = load_benchmark(tmp_path / "rewritten/pets-longer/pets-longer.csv")
    assert changed.is_list
    assert list(changed.prompts) == ["a", "b"]


def test_what_it_would_cost_is_told_first(run: Run, benchmark: Path, tmp_path: Path) -> None:
    """`--dry-run` asks nothing and writes nothing; what cannot be right is refused."""
    with llm_server(longer) as server:
        prices = ["--price-in", "1", "--price-out", "2"]
        told = json.loads(rewrite(run, server, "--dry-run", "--json", *prices).out)
        assert server.asked == []
        for more in (["--tokens", 0], ["--llm", "shapes"], ["--tokenizer", "/nowhere"]):
            assert rewrite(run, server, *more).code in (2, 4)
        in_words = rewrite(run, server, "--dry-run", "--quiet").out
        assert in_words.startswith("expected: 3 prompts, 0 of them without asking, about 3 request")
    assert (told["prompts"], told["kept"], told["requests"]) == (3, 0, 3)
    assert told["cost_usd"] == pytest.approx((told["prompt_tokens"] + 2 * 384) / 1e6, abs=1e-4)
    assert not (tmp_path / "rewritten").exists()


def test_nothing_is_paid_twice_after_a_kill(benchmark: Path, tmp_path: Path) -> None:
    """What was in flight may be asked again, no more."""

    def slow(asked: Asked) -> Act:
        return longer(asked)._replace(seconds=0.0 if "cat" in original(asked) else 0.6)

    with llm_server(slow) as server:
        words = ["--to", "longer", "--llm", "openai:m", "--base-url", server.url]
        more = ["--concurrency", "1"]
        command = [
            sys.executable,
            "-m",
            "dpgbench",
            "prompts",
            "rewrite",
            "pets.csv",
            *words,
            *more,
        ]
        kept = tmp_path / "rewritten/pets-longer/chat.jsonl"
        killed = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (kept.exists() and kept.read_bytes().count(b"\n") >= 1):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait(20)
        server.idle()
        paid = len(json_lines(kept))
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        asked = Counter(map(original, server.asked))
    assert sum(asked.values()) <= 3 + 1
    assert asked[PROMPTS["cat_1"]] == 1
    assert paid >= 1


@pytest.mark.parametrize(
    ("reply_text", "text"),
    [
        ("Here is the rewritten prompt:\n\nA red cat.", "A red cat."),
        ('"A red cat."', "A red cat."),
        ("```\nA red\n cat.\n```", "A red cat."),
        ("**Rewritten prompt:** A red cat.", "A red cat."),
        ('A sign "A" and a sign "B"', 'A sign "A" and a sign "B"'),
        ("A new car: red, fast.", "A new car: red, fast."),
        ("<think>Longer, with a hat.</think>\n\nA red cat.", "A red cat."),
        ("<think>Longer, with a hat.", ""),
        ("A red cat.<|im_end|>", "A red cat."),
        ("A red cat.\n\n*Note: I added the colour.*", "A red cat."),
        ("A red cat.\n\nNotes lie beside it.", "A red cat. Notes lie beside it."),
        ("A red cat. " * 3000, ("A red cat. " * 3000).strip()),
    ],
)
def test_what_stands_around_a_prompt_is_taken_away(reply_text: str, text: str) -> None:
    """Fences, introductions, quotation marks; not what belongs to the prompt."""
    assert cleaned(reply_text)[0] == text


@pytest.mark.parametrize(
    ("reply_text", "reason"),
    [
        (json.dumps({"prompt": "A red cat on a mat in the sun"}), "the reply is JSON"),
        (f"A cat {'x' * 5000} on a mat", "it has 5015 characters, too many for 40 tokens"),
    ],
)
def test_what_is_no_prompt_is_not_taken_for_one(reply_text: str, reason: str) -> None:
    talk = rewrite_prompt("A cat.", RewriteSettings("longer", 40, "words"), count_roughly)
    next(talk)
    talk.send(ChatReply(reply_text))
    with pytest.raises(StopIteration) as ended:
        talk.send(ChatReply(reply_text))
    assert ended.value.value.reason == reason


def test_a_prompt_of_opening_marks_alone_takes_no_time() -> None:
    begun = time.monotonic()
    assert quoted("\u201c" * 100_000) == []
    assert time.monotonic() - begun < 6


@given(st.text(), st.text(), st.sampled_from(["stop", "length"]))
def test_whatever_comes_back_the_prompt_is_sound_or_there_is_a_reason(
    first: str, second: str, finish: str
) -> None:
    """And within the budget."""
    settings = RewriteSettings("longer", 40, "words")
    talk = rewrite_prompt("A cat.", settings, count_roughly)
    next(talk)
    replies = [ChatReply(first, finish), ChatReply(second)]
    send: Callable[[ChatReply], object] = talk.send
    for reply_text in replies:
        try:
            send(reply_text)
        except StopIteration as stop:
            result = stop.value
            break
    assert bool(result.text) != bool(result.reason)
    assert result.reason or (result.text.isprintable() and 3 < count_roughly(result.text) <= 40)


def test_tokens_are_counted_in_any_script() -> None:
    """Words and marks; characters where words are not set apart."""
    assert count_roughly("A red cat, in Zürich.") == 7
    assert count_roughly("一只猫 cat") == 4


def test_another_direction_is_refused_with_those_that_there_are(run: Run, benchmark: Path) -> None:
    ended = run("prompts", "rewrite", "pets.csv", "--to", "wider", "--llm", "openai:m")
    assert ended.code == 2
    assert "'--to': 'wider' is not one of 'longer', 'shorter'" in ended.error
