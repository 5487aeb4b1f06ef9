"""Servers that do what no server should: nothing hangs, nothing breaks, nothing goes elsewhere."""

import contextlib
import json
import socket
import ssl
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpgbench.backends.judges.openai.judge import OpenAiJudge
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.errors import DpgBenchError, SetupError
from tests.backends.fake_openai import HONEST, Act, FakeOpenAi, says, sends
from tests.backends.openai_kit import KEY, QUICK, collected, judge_of, leave_alone, tiles

HASTY = replace(QUICK, tries=2, timeout_seconds=0.3, reply_seconds=0.6, largest_reply=100_000)
OWN_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgg2fS7GEBufWdN/A3
2yz1IVlAroVQEhvGeR0n8uMatpShRANCAASTZl3kWHpdyYOFcUUGZnIiS6dxxLHi
1mVBwISZRVMJj5yrtmEtGSkuSc88MXld0U6yL3P5uYLk9EeQtdJrYH6V
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUUUgyiFj0TQA+7dG+uXdvcqx0TIQwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzAzMTcyMFoYDzIxMjYxMTAz
MDMxNzIwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASTZl3kWHpdyYOFcUUGZnIiS6dxxLHi1mVBwISZRVMJj5yrtmEtGSku
Sc88MXld0U6yL3P5uYLk9EeQtdJrYH6Vo28wbTAdBgNVHQ4EFgQU34p+sk17k8U4
HCGTNhLkaooMq1UwHwYDVR0jBBgwFoAU34p+sk17k8U4HCGTNhLkaooMq1UwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhALoQ+KGUrZN1CiHg+iDwLXkt11pUH3OtUZGvl48qMpFFAiEA
jXF+mt9HdFoHqMUrfRTA6Qh79ePOShhRSwPpmsDwZRU=
-----END CERTIFICATE-----
"""
FINE = json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    leave_alone(monkeypatch)


@pytest.fixture
def server():
    with FakeOpenAi() as fake:
        yield fake


@contextlib.contextmanager
def listening(behave, context=None):
    """A server that takes every connection and lets `behave` do with it what it likes."""
    requests = []

    def serve(connection):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
            while head := read_request(connection):
                requests.append(head)
                behave(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", requests
        listener.shutdown(socket.SHUT_RDWR)


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head


def ask(url, policy=HASTY, count=1):
    request = JudgeRequest("openai:m", options={"base_url": url, "concurrency": 2})
    return collected(OpenAiJudge(request, policy).stream(tiles(count, questions=1)))


def head(status=200, **headers):
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status} x\r\n{''.join(lines)}\r\n".encode()


def drip(connection):
    connection.sendall(head(Content_Length=1000))
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.05)


def informing_for_ever(connection):
    while True:
        connection.sendall(head(102))
        time.sleep(0.01)


def headers_for_ever(connection):
    connection.sendall(b"HTTP/1.1 200 x\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


def body_for_ever(connection):
    connection.sendall(head(Transfer_Encoding="chunked"))
    while True:
        connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")


def more_than_it_can_say(connection):
    connection.sendall(head(Content_Length=10**12) + FINE)


def compressed_against_its_orders(connection):
    body = b"\x1f\x8b" + b"x" * 100
    connection.sendall(head(Content_Length=len(body), Content_Encoding="gzip") + body)


def another_protocol(connection):
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def switching_protocols(connection):
    connection.sendall(head(101, Upgrade="websocket", Connection="Upgrade"))
    time.sleep(1)


def odd_length(connection):
    connection.sendall(head(Content_Length="-5") + FINE)


def silent(connection):
    time.sleep(1)


BEHAVIOURS = (
    drip, informing_for_ever, headers_for_ever, body_for_ever, more_than_it_can_say,
    compressed_against_its_orders, another_protocol, switching_protocols, odd_length, silent,
)  # fmt: skip


@pytest.mark.parametrize("behave", BEHAVIOURS)
def test_no_way_to_speak_http_hangs_or_breaks_it(behave):
    begun = time.monotonic()
    with listening(behave) as (url, requests):
        try:
            answers, errors = ask(url)
        except SetupError as error:  # nothing like a reply has ever come
            answers, errors = {}, {"it0": str(error)}
        assert len(requests) <= 2
    assert answers == {}
    assert errors["it0"].isprintable() and len(errors["it0"]) < 500
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_key_nowhere(status):
    def elsewhere(connection):
        connection.sendall(head(Content_Length=len(FINE)) + FINE)

    with listening(elsewhere) as (other, followed):
        moved = head(status, Location=f"{other}/chat/completions", Content_Length=0)
        with (
            listening(lambda connection: connection.sendall(moved)) as (url, requests),
            pytest.raises(SetupError, match=f"answered {status} .*check --base-url"),
        ):
            ask(url)
        assert (len(requests), followed) == (1, [])


def test_no_cookie_is_kept():
    reply = head(Content_Length=len(FINE), Set_Cookie="a=b; Path=/") + FINE
    with listening(lambda connection: connection.sendall(reply)) as (url, requests):
        answers, _ = ask(url, count=4)
    assert len(answers) == len(requests) == 4
    assert not any(b"cookie" in request.lower() for request in requests)


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://me:word@x", "http://[::1", "x y"])
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch, name, proxy):
    monkeypatch.setenv(name, proxy)
    with pytest.raises(SetupError) as caught:
        ask("http://judge.invalid/v1")
    assert "HTTP_PROXY" in str(caught.value) or "cannot be reached" in str(caught.value)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "xn--a", "[::1]:9", "127.0.0.1:9", "0x7f.1:9"])
def test_a_host_that_cannot_be_is_an_address_to_check(host):
    with pytest.raises(DpgBenchError, match="--base-url"):
        ask(f"http://{host}/v1")


def test_certificates_that_are_not_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(SetupError, match="SSL_CERT_FILE"):
        ask("https://127.0.0.1:9/v1")


@contextlib.contextmanager
def encrypted(folder):
    """A server for https://localhost that shows a certificate that nobody has signed."""
    (folder / "own.pem").write_text(OWN_CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")

    def answer(connection):
        connection.sendall(head(Content_Length=len(FINE)) + FINE)

    with listening(answer, context) as (url, requests):
        yield url.replace("http://127.0.0.1", "https://localhost"), requests


def test_a_certificate_that_is_not_trusted_ends_it_at_once(tmp_path):
    with encrypted(tmp_path) as (url, requests):
        with pytest.raises(
            SetupError, match=r"certificate of localhost.*self.signed.*SSL_CERT_FIL"
        ):
            ask(url, replace(HASTY, tries=9, first_seconds=5, longest_seconds=5))
        assert requests == []


def test_a_certificate_that_the_environment_trusts_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    with encrypted(tmp_path) as (url, requests):
        answers, _ = ask(url)
        assert len(answers) == len(requests) == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["yes", "no", '{"answer": "yes"}', "stop", "error", "content_filter"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "error", "code", "usage", "logprobs", "token", "type",
             "top_logprobs", "logprob", "text", "finish_reason", "model", "prompt_tokens"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("message", "logprobs", "finish_reason", "error", "delta", "text"), ANYTHING
            ),
        ),
        max_size=2,
    )
    | ANYTHING,
    ANYTHING,
    ANYTHING,
)
def test_no_json_of_any_shape_breaks_it(server, choices, usage, model):
    body = {"choices": choices, "usage": usage, "model": model}
    served = len(server.asked)
    server.rule = lambda asked: HONEST if asked.questions[1].endswith("in 1?") else sends(**body)
    with contextlib.suppress(SetupError):
        judge = judge_of(server, replace(HASTY, timeout_seconds=5.0), concurrency=1)
        answers, errors = collected(judge.stream(tiles(2, questions=1)))
        assert {key[0] for key in answers} | set(errors) == {"it0", "it1"}
        assert ("it1", 1, 11) in answers
        json.dumps(judge.account(), allow_nan=False)
    assert len(server.asked) - served <= 6


@pytest.mark.parametrize(
    "act",
    [
        says("[" * 30_000), says('{"a":' * 5000 + "1" + "}" * 5000), says("_" * 19_000),
        says(json.dumps({"_" * 15_000: "yes"})), says("```" * 6000), says("1. " * 6000),
        says("<answer>" * 2000), says("yes" + " " * 19_000), says("\\boxed{" * 2500),
        Act(400, "a" * 90_000), Act(400, "x*** " * 15_000), Act(500, KEY * 3000),
        Act(body=b'{"choices":' + b"[" * 90_000), Act(body=b"\xff" * 90_000),
        sends(choices=[{"message": {"content": "yes"}, "logprobs": {"content": [
            {"token": "maybe " * 5, "top_logprobs": []} for _ in range(1000)
        ]}}]),
        sends(choices=[{"message": {"content": "yes"}, "logprobs": {"content": [
            {"token": "yes", "top_logprobs": [{"token": "yes", "logprob": -(10**400)}]}
        ]}}]),
        sends(choices=[{"message": {"content": "yes"}}], usage={"prompt_tokens": 10**400}),
        sends(choices=[{"message": {"content": "yes"}}], usage={"prompt_tokens": -7}),
        sends(choices=[{"message": {"content": "yes"}}], model=["m"] * 5000),
        sends(error={"code": "9" * 4000, "message": {"message": [KEY]}}),
    ],
)  # fmt: skip
def test_nothing_that_is_long_or_deep_takes_long(server, act):
    server.script.append(act)
    begun = time.monotonic()
    judge = judge_of(server, replace(HASTY, tries=1, timeout_seconds=5.0), concurrency=1)
    answers, errors = collected(judge.stream(tiles(2, questions=1)))
    assert time.monotonic() - begun < 2.5
    assert ("it1", 1, 11) in answers  # the next question is not harmed
    shown = json.dumps([errors, [list(answer) for answer in answers.values()], judge.account()])
    assert KEY[:6] not in shown and len(shown) < 3000
    assert 0 <= judge.account()["prompt_tokens"] <= 300


def test_tokens_of_failed_tries_count(server):
    server.script.append(sends(error="overloaded", usage={"prompt_tokens": 50}))
    server.script.append(Act(500, body=None))
    judge = judge_of(server)
    answers, _ = collected(judge.stream(tiles(1, questions=1)))
    assert len(answers) == 1
    assert judge.account()["prompt_tokens"] == 150
    assert judge.account()["requests"] == 3
