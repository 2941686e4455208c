"""Why a model cannot be had: on this machine, and from a hub that refuses (a small one on the loopback)."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
import torch
from safetensors.torch import save_file

from engines.images.dry_run import measure
from engines.images.generators.loading import GeneratorMissing, load_generator
from engines.images.reasons import chain, first_line, looks_local, reason
from engines.images.rewards.base import RewardMissing
from engines.images.rewards.loading import load_reward


def test_local_names_are_told_from_hub_ids(tmp_path):
    assert looks_local(str(tmp_path))
    assert looks_local("./model")
    assert looks_local("~/model")
    assert looks_local("a/b/c")
    assert not looks_local("stabilityai/sd-turbo")
    assert not looks_local("gpt2")


def test_the_whole_chain_of_errors_is_looked_at():
    from huggingface_hub.errors import OfflineModeIsEnabled

    outer = OSError("some words of diffusers")
    outer.__cause__ = OfflineModeIsEnabled("off")
    assert len(list(chain(outer))) == 2
    assert "the hub cannot be reached: connect once" in reason(outer, "owner/name")
    assert "check the network" in reason(ConnectionError("no route"), "owner/name")
    assert (
        reason(ValueError("odd thing.\nmore"), "owner/name")
        == "odd thing: check the name, or name a local folder"
    )
    loop = OSError("a")
    loop.__context__ = loop
    assert len(list(chain(loop))) == 1


@pytest.fixture
def sd_folder(tiny_folders, tmp_path):
    import shutil

    return shutil.copytree(tiny_folders["sd"], tmp_path / "sd")


def refusal(folder):
    with pytest.raises(GeneratorMissing) as caught:
        load_generator(str(folder), local_files_only=True)
    return str(caught.value)


def test_folders_that_cannot_be_read(sd_folder, tmp_path):
    assert refusal(tmp_path / "none").endswith(
        "could not be loaded: there is no such file or folder: check the path."
    )
    (tmp_path / "empty").mkdir()
    assert "the folder has no safetensors files" in refusal(tmp_path / "empty")
    index = sd_folder / "model_index.json"
    sound = index.read_text()
    index.write_text(sound.replace("StableDiffusionPipeline", "KandinskyPipeline"))
    assert "is a KandinskyPipeline, which is not supported; pipelines of these classes are" in refusal(
        sd_folder
    )
    index.write_text(sound)
    weights = sd_folder / "unet" / "diffusion_pytorch_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    assert "a safetensors file in it is damaged or cut short" in refusal(sd_folder)


@pytest.mark.parametrize("part", ["tokenizer", "unet", "text_encoder", "scheduler"])
def test_a_folder_without_one_of_its_parts(sd_folder, part):
    import shutil

    shutil.rmtree(sd_folder / part)
    said = refusal(sd_folder)
    assert f"has no folder {part}, which its model_index.json lists" in said
    with pytest.raises(GeneratorMissing, match=f"has no folder {part}"):
        measure(str(sd_folder), size=16, local_files_only=True)


def test_a_folder_may_lack_the_safety_checker(sd_folder):
    index = sd_folder / "model_index.json"
    named = json.loads(index.read_text()) | {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]
    }
    index.write_text(json.dumps(named))
    assert load_generator(str(sd_folder), size=16, local_files_only=True).noise_shape == (4, 8, 8)


def test_predictions_and_schedulers_that_are_not_driven(sd_folder):
    path = sd_folder / "scheduler" / "scheduler_config.json"
    sound = path.read_text()
    path.write_text(sound.replace('"epsilon"', '"sample"'))
    assert "prediction_type must be epsilon or v_prediction; this model's scheduler says 'sample'" in refusal(
        sd_folder
    )
    with pytest.raises(GeneratorMissing, match="scheduler says 'sample'"):
        measure(str(sd_folder), size=16, local_files_only=True)
    path.write_text(sound)
    index = sd_folder / "model_index.json"
    index.write_text(index.read_text().replace("EulerDiscreteScheduler", "NoSuchScheduler"))
    assert "could not be loaded" in refusal(sd_folder)
    with pytest.raises(GeneratorMissing, match="could not be read"):
        measure(str(sd_folder), size=16, local_files_only=True)


def test_a_long_reason_ends_between_words(monkeypatch):
    words = "word " * 100
    said = first_line(ValueError(words))
    assert len(said) <= 204
    assert said.endswith("word ...")
    assert first_line(ValueError("short.")) == "short"
    assert first_line(ValueError("x" * 300)) == "x" * 200 + " ..."


def test_pickles_only(sd_folder):
    for path in list(sd_folder.rglob("*.safetensors")):
        torch.save({}, path.with_suffix(".bin"))
        path.unlink()
    assert "it has pickled weights only, which can run code" in refusal(sd_folder)


@pytest.mark.parametrize("name", ["clip", "pickscore"])
def test_reward_folders_that_cannot_be_read(name, tmp_path):
    with pytest.raises(RewardMissing, match="there is no such file or folder"):
        load_reward(name, source=str(tmp_path / "none"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(RewardMissing, match="pickled weights only"):
        load_reward(name, source=str(tmp_path))


@pytest.mark.parametrize("name", ["hpsv2.1", "imagereward", "aesthetic"])
def test_reward_files_that_cannot_be_read(name, tmp_path):
    with pytest.raises(RewardMissing, match="there is no such file or folder"):
        load_reward(name, source=str(tmp_path / "none.pt"))
    with pytest.raises(RewardMissing, match=r"the folder .* holds no weights file: name the file, or put"):
        load_reward(name, source=str(tmp_path))
    save_file({"stranger": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(RewardMissing, match=r"stranger|layers 0, 2"):
        load_reward(name, source=str(tmp_path / "w.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    with pytest.raises(RewardMissing, match="damaged or cut short"):
        load_reward(name, source=str(tmp_path / "cut.safetensors"))


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for a gated model and for one that is not there."""

    def do_HEAD(self):
        gated = "gated" in self.path
        self.send_response(403 if gated else 401)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("X-Error-Message", "said by the test")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        pass


PROGRAM = """
import json
from engines.images.generators.loading import GeneratorMissing, load_generator, load_tiny
from engines.images.rewards.base import RewardMissing
from engines.images.rewards.loading import load_reward
from engines.images.dry_run import measure
import torch
said = {}
for name in ("owner/gated", "owner/missing", "flux-dev", "sdxl-turbo", "pixart-dmd"):
    for what, call in (("load", load_generator), ("measure", measure)):
        try:
            call(name)
        except GeneratorMissing as error:
            said[f"{what} {name}"] = str(error)
try:
    load_tiny("owner/gated", torch.float32)
except GeneratorMissing as error:
    said["tiny"] = str(error)
for name in ("clip", "pickscore", "hpsv2.1", "imagereward", "aesthetic"):
    try:
        load_reward(name)
    except RewardMissing as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def ask(tmp_path, endpoint):
    changed = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "*",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | changed,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_what_the_hub_refuses_is_said_in_one_sentence(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        said = ask(tmp_path, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    gone = "there is no such model on the hub, or it is private: check its name."
    assert said.pop("load owner/gated").endswith("log in with `hf auth login`.")
    assert said.pop("measure owner/gated").endswith("log in with `hf auth login`.")
    assert said.pop("tiny").endswith("log in with `hf auth login`.")
    assert len(said) == 8 + 5
    for name, sentence in said.items():
        assert sentence.endswith(gone), name


@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks`:UserWarning")  # inside diffusers
def test_a_model_that_is_not_here_without_a_network():
    for name in ("owner/missing", "flux-schnell"):
        with pytest.raises(GeneratorMissing, match="it is not on this machine and the hub cannot be reached"):
            load_generator(name, local_files_only=True)
