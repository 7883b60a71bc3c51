"""A question to the model of the lock, through llama.cpp: `chat.py [QUESTION]`."""

import glob
import json
import os
import sys
import urllib.request

import xllamacpp

question = " ".join(sys.argv[1:]) or "What is the capital of France?"
params = xllamacpp.CommonParams()
params.model.path = glob.glob(os.environ["CAPE_ENV"] + "/models/writer/*.gguf")[0]
params.hostnames, params.port, params.n_ctx = ["127.0.0.1"], 0, 1024
server = xllamacpp.Server(params)
body = {
    "messages": [{"role": "user", "content": question}],
    "temperature": 0,
    "max_tokens": 48,
    "cache_prompt": False,
}
request = urllib.request.Request(
    f"{server.listening_address}/v1/chat/completions",
    json.dumps(body).encode(),
    {"Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=120) as reply:
    answer = json.load(reply)["choices"][0]["message"]["content"]
assert answer.strip()
print(answer.strip(), flush=True)
os._exit(0)
