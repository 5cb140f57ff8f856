"""A chat-completions endpoint on this machine, which replies well, badly, late or not at all.

The right answer to a prompt is its last word.
"""

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Does = Literal["takes", "ignores", "refuses"]
Behaviour = Callable[["Handler", dict], None]
SURE = 0.75  # probability of the right answer's token


class ChatServer:
    """Args:

    logprobs, schema: what it does with these.
    refused: further fields that it refuses.
    script: how to reply, given the prompt and how many times it was asked before; None: right.
    counts: whether replies say how many tokens they took.
    port: 0 for a free one.
    """

    def __init__(
        self,
        *,
        logprobs: Does = "takes",
        schema: Does = "takes",
        refused: Sequence[str] = (),
        script: Callable[[str, int], Behaviour | None] = lambda prompt, before: None,
        counts: bool = True,
        port: int = 0,
    ) -> None:
        self.does = {"logprobs": logprobs, "response_format": schema}
        self.refused, self.script, self.counts = refused, script, counts
        self.bodies: list[dict] = []  # of all requests
        self.asked: Counter[str] = Counter()  # requests by prompt
        self.replied: Counter[str] = Counter()  # right answers by prompt
        self.lock = threading.Lock()
        self._port = port

    def __enter__(self) -> "ChatServer":
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._server.chat = self  # pyright: ignore[reportAttributeAccessIssue]
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"


class Handler(BaseHTTPRequestHandler):
    """One request a connection, so that a server that has stopped no longer replies."""

    @property
    def chat(self) -> ChatServer:
        return self.server.chat  # pyright: ignore[reportAttributeAccessIssue]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = next(one["content"] for one in body["messages"] if one["role"] == "user")
        with self.chat.lock:
            self.chat.bodies.append(body)
            before = self.chat.asked[prompt]
            self.chat.asked[prompt] += 1
        does = self.chat.does
        bad = [name for name in body if does.get(name) == "refuses" or name in self.chat.refused]
        if bad:
            message = f"Unsupported parameter: '{bad[0]}' is not supported with this model."
            self.send(400, {"error": {"message": message, "param": bad[0], "code": "unsupported"}})
        else:
            (self.chat.script(prompt, before) or right)(self, body)

    def send(self, status: int, content: Any, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def right(handler: Handler, body: dict) -> None:
    """The last word of the prompt, in the form that is asked for."""
    chat = handler.chat
    prompt = next(one["content"] for one in body["messages"] if one["role"] == "user")
    answer, logprobs = prompt.split()[-1], None
    if "response_format" in body and chat.does["response_format"] == "takes":
        schema = body["response_format"]["json_schema"]["schema"]
        assert answer in schema["properties"]["answer"]["enum"]
        content = json.dumps({"answer": answer})
    else:
        content = answer
        if body.get("logprobs") and chat.does["logprobs"] == "takes":
            assert body["top_logprobs"] > 0
            logprobs = tokens((" \n", {" \n": 1.0}), (answer, {answer: SURE, "\u2581no": 1 - SURE}))
    reply = completion(content, logprobs)
    if not chat.counts:
        del reply["usage"]
    with chat.lock:
        chat.replied[prompt] += 1
    handler.send(200, reply)


def completion(text: str | None, logprobs: dict | None = None, finish: str = "stop") -> dict:
    """A reply that counts 30 tokens in and 2 out."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
    usage = {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}


def tokens(*written: tuple[str, dict[str, float]]) -> dict:
    """Log-probabilities of tokens: what was written, and the probabilities of what could be."""
    return {
        "content": [
            {
                "token": token,
                "logprob": math.log(top.get(token, 0.01)),
                "top_logprobs": [
                    {"token": one, "logprob": math.log(p), "bytes": [*one.encode()]}
                    for one, p in top.items()
                ],
            }
            for token, top in written
        ]
    }


def says(text: str | None, logprobs: dict | None = None, finish: str = "stop") -> Behaviour:
    return lambda handler, _: handler.send(200, completion(text, logprobs, finish))


def status(code: int, content: Any = b"{}", **headers: str) -> Behaviour:
    return lambda handler, _: handler.send(code, content, **headers)


def cut(handler: Handler, body: dict) -> None:
    """Closes the connection in the middle of a reply."""
    data = json.dumps(completion("1")).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])


def hangs_up(handler: Handler, body: dict) -> None:
    """Closes the connection without a word."""


def waits(until: threading.Event) -> Behaviour:
    def behave(handler: Handler, body: dict) -> None:
        until.wait(30)
        right(handler, body)

    return behave


def echoes(code: int, make: Callable[[str], Any]) -> Behaviour:
    """Sends back what `make` makes of the Authorization header."""
    return lambda handler, _: handler.send(code, make(handler.headers["Authorization"]))
