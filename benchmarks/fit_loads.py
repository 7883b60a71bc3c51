"""Load a model for real, use it at its fullest, and print what was resident, as JSON. `fit.py` starts it.

    python fit_loads.py llama MODEL.gguf CONTEXT PARALLEL CACHE_TYPE [PROMPT]
    python fit_loads.py onnx MODEL.onnx BATCH TOKENS
    python fit_loads.py torch DIRECTORY infer|full|lora BATCH TOKENS RANK DTYPE
    python fit_loads.py make DIRECTORY KEY=VALUE...
    python fit_loads.py graph FILE.onnx HIDDEN FORWARD LAYERS HEADS WORDS

It runs in an environment of its own: `llama` wants xllamacpp, `onnx` onnxruntime, the others torch with
transformers; `graph` wants onnx. `make` writes a decoder of random weights, as transformers saves one, and
`graph` an encoder.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request


def resident() -> dict[str, int]:
    """The process's memory now and at its highest, in bytes."""
    with open("/proc/self/status") as stream:
        told = stream.read()
    names = {"now": "VmRSS", "peak": "VmHWM", "anonymous": "RssAnon", "file": "RssFile"}
    found = {}
    for name, key in names.items():
        line = re.search(rf"^{key}:\s+(\d+)", told, re.MULTILINE)
        found[name] = int(line[1]) * 1024 if line else 0
    return found


def llama(model: str, context: str, parallel: str, cache_type: str, prompt: str = "520") -> dict[str, object]:
    """A server of llama.cpp that reads a prompt of more than a micro-batch, and writes a few words."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_ctx = int(context) * int(parallel)
    settings.n_parallel = int(parallel)
    settings.cache_ram_mib = 0
    settings.fit_params = False
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 2
    if cache_type != "f16":
        kind = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{cache_type.upper()}")
        settings.cache_type_k = settings.cache_type_v = kind
    base = resident()
    server = xllamacpp.Server(settings)
    loaded = resident()
    count = min(int(context) - 8, int(prompt))
    asked = {"prompt": [100 + one * 7919 % 3000 for one in range(count)], "n_predict": 4, "temperature": 0}
    request = urllib.request.Request(
        f"{server.listening_address}/completion",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=500) as answer:
        answer.read()
    return {"base": base, "loaded": loaded, "used": resident()}


def onnx(model: str, batch: str, tokens: str) -> dict[str, object]:
    """A session of onnxruntime, as it is by default, that ran three times."""
    import numpy
    import onnxruntime

    base = resident()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    loaded = resident()
    feed = {}
    for asked in session.get_inputs():
        sizes = {0: int(batch), 1: int(tokens)}
        shape = [one if isinstance(one, int) else sizes.get(at, 224) for at, one in enumerate(asked.shape)]
        whole = "int" in asked.type
        kind = numpy.int64 if "int64" in asked.type else numpy.int32 if whole else numpy.float32
        feed[asked.name] = (numpy.ones(shape) if "mask" in asked.name else numpy.zeros(shape)).astype(kind)
    for _ in range(3):
        session.run(None, feed)
    return {"base": base, "loaded": loaded, "used": resident()}


def make(directory: str, *words: str) -> dict[str, object]:
    """Write a decoder of random weights."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    told = dict(word.split("=", 1) for word in words)
    dtype = told.pop("dtype", "float32")
    kind = {"llama": LlamaConfig, "qwen2": Qwen2Config}[told.pop("kind", "llama")]
    sizes = {
        key: value == "true" if value in ("true", "false") else int(value) for key, value in told.items()
    }
    configuration = kind(max_position_embeddings=4096, **sizes)
    torch.set_default_dtype(getattr(torch, dtype))
    model = AutoModelForCausalLM.from_config(configuration)
    model.save_pretrained(directory)
    return {"parameters": sum(one.numel() for one in model.parameters())}


def graph(file: str, *sizes: str) -> dict[str, object]:
    """Write an encoder of random weights: embedding, attention, feed-forward, norms."""
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    hidden, forward, layers, heads, words = (int(size) for size in sizes)
    source = numpy.random.default_rng(1)
    weights, nodes = [], []

    def weight(name: str, *shape: int) -> str:
        numbers = source.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)
        weights.append(numpy_helper.from_array(numbers, name))
        return name

    def node(operator: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def norm(at: str, name: str) -> str:
        return node("LayerNormalization", at, weight(f"{name}.w", hidden), weight(f"{name}.b", hidden))

    for name, shape in (("split", [0, 0, heads, hidden // heads]), ("join", [0, 0, hidden])):
        weights.append(numpy_helper.from_array(numpy.array(shape, dtype=numpy.int64), name))
    at = norm(node("Gather", weight("words", words, hidden), "input_ids"), "first")
    for layer in range(layers):
        q, k, v = (
            node("Reshape", node("MatMul", at, weight(f"{layer}.{name}", hidden, hidden)), "split")
            for name in "qkv"
        )
        q, v = (node("Transpose", one, perm=[0, 2, 1, 3]) for one in (q, v))
        scores = node("Softmax", node("MatMul", q, node("Transpose", k, perm=[0, 2, 3, 1])), axis=-1)
        seen = node("Reshape", node("Transpose", node("MatMul", scores, v), perm=[0, 2, 1, 3]), "join")
        out = node("MatMul", seen, weight(f"{layer}.o", hidden, hidden))
        at = norm(node("Add", at, out), f"{layer}.a")
        wide = node("Gelu", node("MatMul", at, weight(f"{layer}.up", hidden, forward)))
        narrow = node("MatMul", wide, weight(f"{layer}.down", forward, hidden))
        at = norm(node("Add", at, narrow), f"{layer}.f")
    given = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    gives = helper.make_tensor_value_info(at, TensorProto.FLOAT, ["batch", "tokens", hidden])
    made = helper.make_graph(nodes, "encoder", [given], [gives], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, file)
    return {"weights": len(weights)}


def torch(directory: str, mode: str, batch: str, tokens: str, rank: str, dtype: str) -> dict[str, object]:
    """A decoder by transformers: one pass over a batch, or two steps of training with AdamW."""
    import torch as library
    from transformers import AutoModelForCausalLM

    library.set_num_threads(1)
    base = resident()
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(library, dtype))
    loaded = resident()
    words = library.randint(0, model.config.vocab_size, (int(batch), int(tokens)))
    if mode == "infer":
        model.eval()
        with library.no_grad():
            model.generate(words, max_new_tokens=4, do_sample=False, pad_token_id=0)
        return {"base": base, "loaded": loaded, "used": resident()}
    model.train()
    if mode == "lora":
        adapt(model, int(rank))
    trained = [one for one in model.parameters() if one.requires_grad]
    steps = library.optim.AdamW(trained, lr=1e-4)
    for _ in range(2):
        model(input_ids=words, labels=words).loss.backward()
        steps.step()
        steps.zero_grad()
    count = sum(one.numel() for one in trained)
    return {"base": base, "loaded": loaded, "used": resident(), "trained": count}


def adapt(model: object, rank: int) -> None:
    """Two narrow matrices beside every linear layer of a decoder, as LoRA has them; the rest is frozen."""
    import torch as library

    class Adapted(library.nn.Module):  # type: ignore[misc]
        def __init__(self, base: library.nn.Linear) -> None:
            super().__init__()
            self.base = base
            kind = base.weight.dtype
            self.down = library.nn.Linear(base.in_features, rank, bias=False, dtype=kind)
            self.up = library.nn.Linear(rank, base.out_features, bias=False, dtype=kind)

        def forward(self, numbers: library.Tensor) -> library.Tensor:
            return self.base(numbers) + self.up(self.down(numbers))

    for one in model.parameters():  # type: ignore[attr-defined]
        one.requires_grad = False
    for layer in model.model.layers:  # type: ignore[attr-defined]
        for part in (layer.self_attn, layer.mlp):
            for name, child in list(part.named_children()):
                if isinstance(child, library.nn.Linear):
                    setattr(part, name, Adapted(child))


if __name__ == "__main__":
    ways = {"llama": llama, "onnx": onnx, "make": make, "graph": graph, "torch": torch}
    said = json.dumps(ways[sys.argv[1]](*sys.argv[2:]))
    sys.stdout.write(f"\n{said}\n")
    sys.stdout.flush()
    os._exit(0)
