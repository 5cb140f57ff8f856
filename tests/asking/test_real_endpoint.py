"""A real engine end to end: `transformers serve` with the shipped model, which only copies.

It knows neither log-probabilities nor schemas, and says nothing of it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
import torch

from saematch.asking.endpoint import Endpoint, Question
from saematch.models.opening import open_model

MODEL = Path(__file__).parents[2] / "src" / "saematch" / "data" / "model"
LONGEST = 300  # seconds until the engine is there


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The URL of an engine, and the name of its model: one that writes a single token."""
    folder = tmp_path_factory.mktemp("engine") / "model"
    shutil.copytree(MODEL, folder)
    (folder / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    )
    config = json.loads((folder / "generation_config.json").read_text())
    config["eos_token_id"] = [*range(4096)]
    (folder / "generation_config.json").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", folder]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    log = folder.with_name("log.txt")
    with (
        log.open("w") as told,
        subprocess.Popen(command, env=environment, stdout=told, stderr=told) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1", str(folder)
        finally:
            process.terminate()


def wait_for(url, process, log):
    end = time.monotonic() + LONGEST
    while True:
        try:
            with build_opener(ProxyHandler({})).open(url):
                return
        except (URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"transformers serve did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)


def next_token(model, text):
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.no_grad():
        best = model.model(input_ids=ids).logits[0, -1].argmax()
    return "".join(model.tokenizer.decode([int(best)])).strip()


@pytest.mark.slow
def test_answers_of_a_real_engine_are_those_of_its_model(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url, name = engine
    copied = [Question("", f" {i}" * 8, ("1", "2", "3")) for i in (3, 1, 2)]
    other = Question("", "The cat sat on the", ("1", "2", "3"))
    model = open_model("saematch:model")
    judge = Endpoint(name, base_url=url, answers=tmp_path, concurrency=2)
    answers = judge.ask([*copied, other])
    for question, answer in zip(copied, answers[:3], strict=True):
        written = next_token(model, question.prompt)
        assert answer.text.strip() == written
        assert answer.probabilities == tuple(
            float(option == written) for option in question.options
        )
        assert answer.output_tokens >= 1
    assert answers[3].probabilities is None
    assert "expected one of 1, 2, 3" in (answers[3].problem or "")
    again = Endpoint(name, base_url=url, answers=tmp_path).forecast([*copied, other])
    assert (again.cached, again.calls) == (3, 1)
