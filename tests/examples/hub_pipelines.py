"""Models of a hub, found by transformers and diffusers: by hand, since it wants PyTorch and takes minutes.

    .venv/bin/python -m tests.examples.hub_pipelines

An environment with Debian's PyTorch writes a diffusers pipeline and a transformer with random weights; a hub
on loopback serves them; the project locks both; then the hub ends, and `from_pretrained` finds them under the
hub's own names. Ends with 1 where it does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mirrors.hub import ModelHub, model_hub

CAPE = Path(sys.prefix) / "bin" / "cape"
WRITE = """
import sys, torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from transformers import GPT2Config, GPT2LMHeadModel
torch.manual_seed(0)
unet = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, layers_per_block=1, norm_num_groups=8,
    block_out_channels=(16, 32), down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"))
scheduler = DDPMScheduler(num_train_timesteps=10)
DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(sys.argv[1] + "/picture")
sizes = dict(n_layer=1, n_head=2, n_embd=32, vocab_size=64, n_positions=32, bos_token_id=0, eos_token_id=0)
GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(sys.argv[1] + "/words")
"""
READ = """
import os, torch
from diffusers import DDPMPipeline
from transformers import AutoModelForCausalLM
assert os.environ["HF_HUB_OFFLINE"] == "1"
pipeline = DDPMPipeline.from_pretrained("org/picture")
pipeline.set_progress_bar_config(disable=True)
print("picture", pipeline(batch_size=1, num_inference_steps=2).images[0].size)
model = AutoModelForCausalLM.from_pretrained("org/words")
written = model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=4, do_sample=False, pad_token_id=0)
print("words", tuple(written.shape))
"""
MANIFEST = """schema = 1

[environment]
name = "hub"
systems = ["x86_64-linux", "aarch64-linux"]
debian = "trixie"

[packages]
python = "*"
python3-torch = "*"
transformers = { pypi = "*" }
diffusers = { pypi = "*" }
"""
MODELS = """
[models]
picture = { hf = "org/picture" }
words = { hf = "org/words" }
"""


def cape(project: Path, *words: str, hub: str = "") -> str:
    """What a command printed; it must succeed."""
    started = time.perf_counter()
    variables = {**os.environ, "CAPE_HUB": hub, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([CAPE, *words], cwd=project, env=variables, check=True, stdout=subprocess.PIPE)
    sys.stderr.write(f"{' '.join(words[:3])}: {time.perf_counter() - started:.1f} s\n")
    return done.stdout.decode()


def main() -> int:
    """0 where both are found and run."""
    with tempfile.TemporaryDirectory() as directory:
        place, project = Path(directory), Path(directory, "project")
        project.mkdir()
        (project / "cape.toml").write_text(MANIFEST)
        cape(project, "sync")
        cape(project, "run", "--", "python3", "-c", WRITE, directory)
        (project / "cape.toml").write_text(MANIFEST + MODELS)
        with model_hub() as hub:
            for name in ("picture", "words"):
                publish(hub, place / name)
            cape(project, "sync", hub=hub.url)
        told = cape(project, "run", "--", "python3", "-c", READ)
    sys.stdout.write(told)
    return 0 if told.splitlines()[-2:] == ["picture (16, 16)", "words (1, 7)"] else 1


def publish(hub: ModelHub, home: Path) -> None:
    """Every file of a directory, as a repository of its name."""
    files = {str(one.relative_to(home)): one.read_bytes() for one in home.rglob("*") if one.is_file()}
    large = [name for name in files if name.endswith(".safetensors")]
    hub.add(f"org/{home.name}", files, large=large, licence="mit")


if __name__ == "__main__":
    sys.exit(main())
